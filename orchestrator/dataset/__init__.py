"""Dataset: chats to findings, and to canonical JSONL that no provider refuses.

The way of the data: files → decoding → reading (formats) → checks → canonical → files named by their hash. Whatever
is on disk becomes an example or a finding; nothing is dropped silently and nothing raises but `DatasetError`. The
room streams: it never holds the dataset in memory. It opens no network connection and keeps no state; callers run it
in a thread, and the service in a process of its own (`apart`), for which this package itself imports nothing.
"""
