"""A trained network of the user's as a space: cut into operators, its channels in groups, its blocks optional."""
