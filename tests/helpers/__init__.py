"""What several test files need, one module a subject; no test file imports another (tests/test_style.py)."""
