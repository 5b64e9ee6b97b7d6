"""Comparisons of the models of a run: which models and probes, asking, and the result."""
