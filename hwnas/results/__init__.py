"""A run's results in Python: fronts, tables, studies and charts, as frames of pandas and as pictures."""

from hwnas.results.run import RunResults, open_run

__all__ = ["RunResults", "open_run"]
