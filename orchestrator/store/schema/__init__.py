"""Definitions of the tables, and the mapping between rows and core values."""
