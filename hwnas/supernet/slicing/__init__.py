"""Slices of shared weights: axes, groups of channels, sorting, kernels."""
