"""Tables put together, and compared."""
