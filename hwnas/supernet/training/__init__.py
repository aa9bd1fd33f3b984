"""Training of shared weights and of single networks: loop, recipe, schedules, checkpoints."""
