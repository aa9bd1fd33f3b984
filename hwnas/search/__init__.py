"""Search: architectures, scores, limits. What lowers, builds or times a network arrives as a function. No torch."""
