"""Words and rules: values in, values out. No I/O, no clock, no third-party client, no logging.

Everything here can be tested without a database, a network or a wait. Time is the argument `now` (seconds since
the epoch, UTC), chance is the argument `jitter` (0 to 1).
"""
