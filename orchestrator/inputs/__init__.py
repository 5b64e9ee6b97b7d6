"""The operator's inputs: the accounts file, the keys it refers to, and the files of prices and retirement dates.

Reads files, the environment and the output of commands; never the network, never the database. All problems are
reported at once, with their lines, and no message repeats a value, because it could be a key.
"""
