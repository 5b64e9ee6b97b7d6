"""Prepares a plan: reads what the operator wants and collects what the providers report."""
