"""Measuring on the device: tables, timing, sessions, workers, locks. Board side: Python 3.9 syntax, no torch."""
