"""Reads, validates and loads the accounts file."""
