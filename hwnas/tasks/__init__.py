"""Tasks: what goes in, what comes out, how a network learns it and how it is judged."""
