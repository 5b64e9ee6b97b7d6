"""Reads source files: from bytes on disk to chat records with the place of every value."""
