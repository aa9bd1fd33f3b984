"""Programs that a bundle carries: they run a model file on raw inputs without hwnas. Python 3.9 syntax, numpy alone."""
