"""Two tables, runs or bundles side by side: tables for a terminal, a page."""
