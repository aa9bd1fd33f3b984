"""What a model file has around its network: arithmetic on raw inputs, facts about it in its metadata."""
