"""Edge and cloud as one system: links, cuts, cascades, and plans of how requests are answered."""
