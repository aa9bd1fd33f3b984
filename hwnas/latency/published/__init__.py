"""Latency tables that others published: their formats, read and turned into rows."""

from hwnas.latency.published.entry import Entry, Row
from hwnas.latency.published.formats import FORMATS, detect, read_entries
from hwnas.latency.published.importing import Imported, import_tables

__all__ = ["FORMATS", "Entry", "Imported", "Row", "detect", "import_tables", "read_entries"]
