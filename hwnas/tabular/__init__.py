"""Published numbers of whole networks: a column of a file that has a row for each architecture."""

from hwnas.tabular.columns import FORMATS
from hwnas.tabular.metric import Join, TableMetric, Wanted, read_metric

__all__ = ["FORMATS", "Join", "TableMetric", "Wanted", "read_metric"]
