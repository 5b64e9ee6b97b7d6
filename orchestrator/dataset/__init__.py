"""Turns chats on disk into findings, and into canonical JSONL that every provider accepts.

Data flow: source files -> `read` (with `formats`) -> `checks` -> `canonical_jsonl` -> files named by their hash
(`builder`). Every chat on disk becomes an example or a finding; nothing is dropped silently, and only DatasetError
and ConfigError are raised. The package streams: it never has the whole dataset in memory. It opens no network
connection and keeps no state. It blocks, so callers use a thread, and the service a child process (`build_process`).
Therefore this module imports nothing: the service must not load the checks and tokenizers.
"""
