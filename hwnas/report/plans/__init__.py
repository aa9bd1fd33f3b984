"""Plans over a link, as a table for the terminal and as a page."""
