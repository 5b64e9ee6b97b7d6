"""Moderates the texts of a dataset with a provider's moderation: `batches` is pure, `runner` does the requests."""
