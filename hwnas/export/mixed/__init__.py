"""Files of which some operators are int8 and the others fp32: which kernels such a file really holds."""
