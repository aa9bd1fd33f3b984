"""What an earlier version wrote, which later versions must still mean the same by."""
