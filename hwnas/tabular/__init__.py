"""Published numbers of whole networks: a column of a file that has a row for each architecture."""

from hwnas.tabular.columns import READERS
from hwnas.tabular.metric import TableMetric, Wanted, read_metric

__all__ = ["READERS", "TableMetric", "Wanted", "read_metric"]
