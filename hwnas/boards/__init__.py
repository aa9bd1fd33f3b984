"""Boards: a space's timings as one file that runs on a board, and the ways there and back. No torch in here."""
