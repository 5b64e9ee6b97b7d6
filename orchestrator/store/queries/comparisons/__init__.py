"""Queries about comparisons of models."""
