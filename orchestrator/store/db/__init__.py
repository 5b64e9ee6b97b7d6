"""Connections and transactions of SQLite and PostgreSQL, group commit, outages and backup."""
