"""Spaces as tables and pictures."""
