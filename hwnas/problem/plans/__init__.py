"""Plans of a run: its two tiers, the answers of their networks to held-out samples, and all candidates."""
