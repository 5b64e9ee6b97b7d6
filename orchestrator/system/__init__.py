"""Calls to the operating system: regular files, child processes, memory limits and core dumps.

Every package above may use it. It knows nothing of accounts, datasets or providers.
"""
