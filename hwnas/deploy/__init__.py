"""Deployments: a plan as two folders, with the files of both sides, the edge's client and a plan that both share."""
