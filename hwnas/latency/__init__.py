"""Latency: files are measured, samples kept in tables, and the latency of any network inferred from them."""
