"""What the operator says: the accounts file, and the keys that its references lead to.

Reads files, the environment and the output of commands; never the network, never the database. Every fault is
reported at once, with its line, and no message repeats a value: it could be a key.
"""
