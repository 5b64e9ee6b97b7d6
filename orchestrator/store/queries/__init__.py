"""Reads and writes of the tables, one module for each aggregate. Writes take a `Transaction`, reads a connection."""
