"""Building a table: which rows and networks are measured, and the model files for them."""
