"""What a machine is and does while it is timed: cores, clocks, heat, throttling, memory. Board side, no torch."""
