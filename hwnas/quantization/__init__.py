"""Quantization of a model file that was trained elsewhere: int8 files, their times beside fp32, and their accuracy."""
