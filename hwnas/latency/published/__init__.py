"""Latency tables that others published: their formats, read and turned into rows."""

from hwnas.latency.published.formats import PUBLISHED_FORMATS, detect, read_entries
from hwnas.latency.published.importing import Imported, import_tables

__all__ = ["PUBLISHED_FORMATS", "Imported", "detect", "import_tables", "read_entries"]
