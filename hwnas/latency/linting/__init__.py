"""Checks of a table's content."""
