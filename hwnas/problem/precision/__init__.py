"""Tiers that list precisions, among which a search chooses for each network."""
