"""The verbs, one file each: they open a workspace, build parts and call them in order."""
