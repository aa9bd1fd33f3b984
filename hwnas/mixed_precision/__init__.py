"""Networks whose operators are of two precisions: which ones, what that costs, and what it loses."""
