"""The edge's client: numpy, one runtime and the standard library. Its files travel with every deployment."""
