"""State of a machine while it is timed: cores, clocks, heat, throttling, memory. Board side, no torch."""
