"""Renders the result of a check as text, JSON, SARIF or an HTML report."""
