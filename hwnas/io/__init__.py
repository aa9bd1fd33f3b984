"""Files as they are kept: written whole, read strictly, checked against damage. Board side: Python 3.9 syntax."""
