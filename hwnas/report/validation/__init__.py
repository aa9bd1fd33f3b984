"""Pages of `hwnas check` and `hwnas fidelity`."""
