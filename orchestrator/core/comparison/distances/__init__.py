"""Distances between answers: of two texts, of all models of a group, and of one model over time."""
