"""Any `torch.nn.Module` as a chain of operators: traced at its top-level children."""
