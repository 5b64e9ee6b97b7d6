"""System: what the program asks of the operating system: regular files, child processes, memory and core dumps.

Every package above may use it. It knows nothing of accounts, datasets or providers.
"""
