"""Resolves the references to keys in the accounts file: environment variables, files and commands."""
