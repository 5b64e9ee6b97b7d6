"""Reads the canonical JSONL for people: an index beside the file, pages of examples, search and differences.

The service imports this package, so only `index_builder`, which runs in a child process, may import the checks and
the tokenizers.
"""
