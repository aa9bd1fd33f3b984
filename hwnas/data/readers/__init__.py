"""Readers of data sets, one a file: options in, a `hwnas.data.Source` out; the rows are those of `DATA_SETS`."""
