"""Deployments: what makes a finished model callable, what it costs, and when it is stopped."""
