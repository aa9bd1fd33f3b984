"""Trained networks on other data: a new head, normalisation statistics, fine-tuning, weights for another space."""
