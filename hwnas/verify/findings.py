"""Findings of a verification, each of a kind, and the checks that were made."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from hwnas.words import brief

Severity = Literal["error", "warning", "note"]

KINDS: Mapping[str, tuple[Severity, str]] = {
    "manifest_edited": ("error", "Take the bundle from where it was exported, or export it again"),
    "manifest_damaged": ("error", "Copy the whole bundle again, or export it again"),
    "file_missing": ("error", "Copy the whole bundle again"),
    "file_is_a_link": ("error", "Copy the bundle with its files, not links to them"),
    "file_is_no_file": ("error", "Remove it, and copy the whole bundle again"),
    "file_size": ("error", "Copy the file again: it was cut off or added to"),
    "file_content": ("error", "Copy the file again: its bytes are not those that were exported"),
    "card_edited": ("warning", "Sign the bundle again if the model card is to be part of it"),
    "file_unlisted": ("warning", "Remove it, or leave it: the manifest does not know it"),
    "old_format": ("note", "Export again for a self-test, a program that runs the files, and sums of all files"),
    "signature_missing": ("error", "Ask who exported it for the signature, or verify without --key"),
    "signature_damaged": ("error", "Copy bundle.sig again, or sign again"),
    "signature_of_other_files": ("error", "Take the bundle that was signed: a file was changed, added or removed"),
    "signature_of_another_key": ("error", "Ask for the public key of who signed it"),
    "signature_unchecked": ("note", "Give the signer's public key by --key"),
    "runtime_missing": ("warning", "Install the runtime of requirements-*.txt, and verify again"),
    "format_not_run": ("note", "Files of this format are checked by their sums alone"),
    "file_refused": ("error", "Install the runtime of requirements-*.txt, or export for the runtime that is here"),
    "selftest_missing": ("warning", "Export with `export.selftest_samples` above 0"),
    "selftest_damaged": ("error", "Copy selftest.npz again, or export again"),
    "selftest_differs": ("error", "Use the runtime version that the manifest names, or export with this one"),
    "preprocessing_unknown": ("error", "Use the version of hwnas that wrote the bundle, or a newer one"),
    "quality_lower": ("error", "See whether the data are those that it was trained for"),
    "other_runtime": ("note", "See the self-test; --against-python compares two versions"),
    "other_machine": ("note", "Latency is compared on the machine that the manifest names"),
    "slower_than_exported": ("warning", "Verify --against an earlier bundle, which takes the machine's state out"),
    "files_not_shared": ("error", "Compare bundles that were exported for the same picks and formats"),
    "larger": ("error", "Accept it by a larger --max-growth, or look at what was added"),
    "quality_dropped": ("error", "Accept it by a larger --max-drop, or look at the training"),
    "slower": ("error", "Accept it by a larger --max-slowdown, or look at `hwnas cost -o` of both networks"),
    "answers_differ": ("note", "See whether that is meant"),
    "quality_not_compared": ("note", "Give data by --data"),
    "plan_damaged": ("error", "Export the plan again"),
    "plan_differs": ("error", "Deploy both sides of one export"),
    "side_missing": ("warning", "Verify each side where it is deployed, or the folder that holds both"),
    "halves_do_not_fit": ("error", "Export the plan again"),
}
"""Kinds of findings: how serious each is, and what to do about it."""


@brief
@dataclass(frozen=True)
class BundleFinding:
    """Something that is not as it should be."""

    kind: str
    message: str
    where: str
    """File or folder."""

    @property
    def severity(self) -> Severity:
        """`error` makes the verification fail; `warning` and `note` do not."""
        return KINDS[self.kind][0]

    @property
    def do(self) -> str:
        """The next step."""
        return KINDS[self.kind][1]

    def as_dict(self) -> dict[str, str]:
        """Return it ready for JSON."""
        return {**asdict(self), "severity": self.severity, "do": self.do}


@brief
@dataclass
class Verification:
    """A bundle, what was checked there, what was measured, and what is wrong.

    Args:
        bundle: the folder, as it was named.
        checked: a line on each check that was made.
        findings: what is not as it should be.
        measured: numbers, by the name of the check.
    """

    bundle: str
    checked: list[str] = field(default_factory=list)
    findings: list[BundleFinding] = field(default_factory=list)
    measured: dict[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Return whether there is no error among the findings."""
        return all(one.severity != "error" for one in self.findings)

    def find(self, kind: str, message: str, where: object) -> None:
        """Add a finding."""
        self.findings.append(BundleFinding(kind, message, str(where)))

    def as_dict(self) -> dict[str, Any]:
        """Return it ready for JSON."""
        return {
            "bundle": self.bundle,
            "ok": self.ok,
            "checked": self.checked,
            "findings": [one.as_dict() for one in self.findings],
            **_finite(self.measured),
        }


def _finite(value: Any) -> Any:
    """Return numbers that JSON has; None in the place of others."""
    if isinstance(value, Mapping):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
