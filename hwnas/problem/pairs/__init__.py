"""Pairs: an edge, a cloud and a link that are searched as one."""
