"""Rows of a result, each a mapping from column to value: as a pandas frame, as CSV and as a table of HTML. A number's
unit is in the name of its column. Board side: Python 3.9 syntax."""

from hwnas.rows.forms import Rows, csv_text, frame, html_table

__all__ = ["Rows", "csv_text", "frame", "html_table"]
