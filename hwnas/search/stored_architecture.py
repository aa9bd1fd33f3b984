"""An architecture, and counts of a comparison, in a JSON object that hwnas keeps, read strictly."""

from __future__ import annotations

from hwnas.io.fields import FieldError, Fields
from hwnas.space import Architecture
from hwnas.tasks.metrics.paired import PairedCounts


def architecture_field(fields: Fields) -> Architecture:
    """Return the architecture in the field of that name; a `key` beside it must be the architecture's.

    Raises:
        FieldError: it is none, or another one than the key says.
    """
    inner = fields.object("architecture")
    space, picks = inner.text("space"), inner.object("picks")
    for name, value in picks.raw.items():
        if not isinstance(value, str | int):  # yes and no are whole numbers to Python
            picks.number(name)
    architecture = Architecture(space, tuple(sorted(picks.raw.items())))
    if "key" in fields and fields.text("key") != architecture.key:
        raise FieldError(
            f"`{fields.at('key')}` is {fields.text('key')}, that of the architecture is {architecture.key}"
        )
    return architecture


def paired_field(fields: Fields) -> PairedCounts | None:
    """Return the paired counts in the field `paired`; None where there is none.

    Raises:
        FieldError: it holds something else.
    """
    if not fields.optional("paired"):
        return None
    inner = fields.object("paired")
    counts = PairedCounts(inner.integer("lost"), inner.integer("gained"), inner.integer("samples"))
    if min(counts.lost, counts.gained) < 0 or not 0 < counts.samples >= counts.lost + counts.gained:
        raise FieldError(f"`{fields.at('paired')}` counts more flips than samples, or fewer than none")
    return counts
