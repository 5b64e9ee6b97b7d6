"""Caches of the read model: what many clients read at the same time is loaded and encoded once."""
