"""Files of a bundle beside its model files: a program that runs them, a self-test, requirements."""
