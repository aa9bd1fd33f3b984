"""Set-ups and the measuring of what their tables lack, here and on boards."""
