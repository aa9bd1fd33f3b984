"""Accuracies on the test images, as an export left them in its manifest."""

from __future__ import annotations

from pathlib import Path

from hwnas.errors import RunError, reason
from hwnas.io.fields import FieldError, Fields, loads


def accuracies_of_export(folder: Path) -> dict[str, float]:
    """By key, the test accuracies of the networks that were exported into a folder; none, if nothing was.

    Raises:
        RunError: the manifest cannot be read.
    """
    path = folder / "manifest.json"
    try:
        models = Fields(loads(path.read_text(encoding="utf-8"))).objects("models")
        known = ((model.text("key"), model.object("test_top1")) for model in models if model.optional("test_top1"))
        return {key: tested.number("value") for key, tested in known if tested.optional("value")}
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, FieldError) as error:
        raise RunError(
            f"the manifest cannot be read ({reason(error)})",
            where=str(path),
            allowed="A manifest is one JSON object that `hwnas export` wrote",
            do="Run `hwnas export` again, which writes it anew",
        ) from error
