"""Workers that score architectures: dispatcher, pool, Ray Tune."""
