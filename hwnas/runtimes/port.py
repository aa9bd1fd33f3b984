"""Number formats of a model file's input and output. Board side: Python 3.9 syntax, no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Union

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    Array = NDArray[np.float32]
    Arrays = Union[Array, Sequence[Array]]

INTEGER_DTYPES = ("int32", "int64", "bool")
"""Numbers that stand for themselves, such as token ids, lengths and masks."""


@dataclass(frozen=True)
class Port:
    """The numbers at one end of a file: floats, whole numbers, or integers q for (q - zero_point) * scale."""

    dtype: str
    """Name in numpy: float32, float16, int8, uint8, or one of `INTEGER_DTYPES`."""
    scale: float = 0.0
    """0 where floats need none, or where the file does not give it."""
    zero_point: int = 0

    @property
    def known(self) -> bool:
        """True if it is known what the numbers stand for."""
        return self.dtype.startswith("float") or self.dtype in INTEGER_DTYPES or self.scale > 0

    def encode(self, values: Array) -> Any:
        """Numbers as the file takes them; what lies outside an integer's range is clipped."""
        import numpy as np

        if self.dtype.startswith("float") or self.dtype in INTEGER_DTYPES:
            return values.astype(self.dtype, copy=False)
        ends = np.iinfo(self.dtype)
        return np.clip(np.rint(values / self.scale) + self.zero_point, ends.min, ends.max).astype(self.dtype)

    def decode(self, values: Any) -> Array:
        """The file's numbers as float32; whole numbers as they are."""
        import numpy as np

        if self.dtype in INTEGER_DTYPES:
            whole: Array = values
            return whole
        if self.dtype.startswith("float"):
            floats: Array = values.astype(np.float32, copy=False)
            return floats
        integers: Array = (values.astype(np.float32) - self.zero_point) * np.float32(self.scale)
        return integers

    def random(self, shape: tuple[int, ...]) -> Any:
        """Valid inputs, the same for the same shape: finite, and free of the zeros that kernels may skip.

        Whole numbers are 0 and 1, which are ids of any vocabulary.
        """
        import numpy as np

        generator = np.random.default_rng(0)
        if self.dtype in INTEGER_DTYPES:
            return generator.integers(0, 2, shape).astype(self.dtype)
        if self.dtype.startswith("float"):
            return generator.standard_normal(shape, dtype=np.float32).astype(self.dtype, copy=False)
        ends = np.iinfo(self.dtype)
        return generator.integers(ends.min, ends.max, shape, dtype=self.dtype, endpoint=True)
