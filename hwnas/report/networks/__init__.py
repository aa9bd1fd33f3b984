"""A network operator by operator: facts, lines, a picture, a page."""
