"""Results in a run's folder: bundles, what successive halving left, and checks of the files."""
