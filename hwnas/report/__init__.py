"""Reports: facts in, one HTML page or terminal tables out. No torch in here."""

from hwnas.report.facts import (
    CostFacts,
    EpochFacts,
    FileFacts,
    FrontPointFacts,
    ObjectiveFacts,
    Point,
    ReportFacts,
    SpaceFacts,
    TierFacts,
    TrainingFacts,
)
from hwnas.report.page import render, write_page

__all__ = [
    "CostFacts",
    "EpochFacts",
    "FileFacts",
    "FrontPointFacts",
    "ObjectiveFacts",
    "Point",
    "ReportFacts",
    "SpaceFacts",
    "TierFacts",
    "TrainingFacts",
    "render",
    "write_page",
]
