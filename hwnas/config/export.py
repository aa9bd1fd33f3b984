"""Networks that are written as files, and how."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator

from hwnas.config.words import FormatName, Positive
from hwnas.errors import ConfigError
from hwnas.io.strict_model import StrictModel


def _rule(text: str) -> str:
    """Return a rule of `hwnas.selection`, without its spaces."""
    from hwnas.pareto import Objective
    from hwnas.selection import check_rule

    rule = re.sub(r"\s", "", text)
    named = [Objective(name, "min") for name in dict.fromkeys(re.findall(r"[A-Za-z_]\w*(?==|,|$)", rule))]
    try:
        check_rule(rule, named, where="export.picks")
    except ConfigError as error:
        raise ValueError(f"{error.met}. {error.do}. {error.allowed}") from None
    return rule


Pick = Annotated[str, AfterValidator(_rule)]
"""Rule for the network of a front that is taken."""


class CardConfig(StrictModel):
    """Parts of a model card that hwnas cannot know."""

    licence: str = ""
    """Licence of the networks, by its SPDX identifier."""
    data_licence: str = ""
    """Licence of the data that they were trained on."""
    intended_use: str = ""
    limitations: str = ""


class ExportConfig(StrictModel):
    """Networks and formats that are written as files."""

    picks: tuple[Pick, ...] = ("best", "knee", "fastest")
    formats: tuple[FormatName, ...] = Field(default=("onnx", "tflite"), min_length=1)
    tolerance: float = Field(default=1e-4, gt=0)
    """Largest allowed difference of an fp32 file's outputs from PyTorch's."""
    agreement: float = Field(default=0.95, ge=0, le=1)
    """Least allowed share of the test samples on which an fp16 or int8 file gives PyTorch's answer, as a class."""
    calibration_samples: Positive = 128
    """Number of training samples that determine the ranges of an int8 file's activations."""
    fine_tune_epochs: int = Field(default=0, ge=0)
    """Number of epochs that each pick is trained on from its inherited weights, before it is written."""
    quantized_epochs: int = Field(default=0, ge=0)
    """Number of epochs that each pick with int8 files is trained on with their rounding, before it is written."""
    input: Literal["normalised", "raw"] = "normalised"
    """Inputs that files take: normalised ones, or raw numbers, with the arithmetic between the two in the files."""
    dynamic_batch: bool = False
    """True if ONNX files take any number of samples at once."""
    features: bool = False
    """True if files have a second output, the features before the last layer, on which `adapt.py` fits a new head."""
    selftest_samples: int = Field(default=16, ge=0, le=16)
    """Number of test samples that a bundle carries with each file's outputs; 0 leaves them out."""
    card: CardConfig = CardConfig()

    @field_validator("picks", "formats")
    @classmethod
    def _each_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(value))
