"""Storages of studies: backends, trials, heartbeats, retries."""
