"""Fronts of a run: loaded with what they hold under, their origins, and timed again on the device."""
