"""Rows that a table lacks, estimated from those that it has."""
