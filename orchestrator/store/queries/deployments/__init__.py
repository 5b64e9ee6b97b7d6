"""Queries about deployments."""
