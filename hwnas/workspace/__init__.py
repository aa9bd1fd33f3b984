"""An experiment with its folder: paths, lock, data, set-ups, supernets, fronts, progress."""
