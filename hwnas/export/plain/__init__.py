"""A network as a plain PyTorch module: source that needs no hwnas, weights and a description of its architecture."""
