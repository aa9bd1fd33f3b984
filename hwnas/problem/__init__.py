"""The search problem of a tier: objectives, cost models, feasibility, accuracy, warm start, re-measuring."""
