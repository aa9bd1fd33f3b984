"""Parts of a model file around its network: arithmetic on raw inputs, facts about it in its metadata."""
