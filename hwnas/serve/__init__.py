"""Serving the cloud's side of a plan: the Open Inference Protocol over HTTPS, in one process or with Ray Serve."""
