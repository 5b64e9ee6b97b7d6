"""Periodic maintenance: expiry of models, deletion of old events and of unused files."""
