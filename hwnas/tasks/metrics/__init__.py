"""Metrics of tasks: values with sampling errors, computed from statistics of samples."""
