"""The domain model: values and pure functions, without I/O, clock, third-party clients or logging.

Everything here can be tested without a database, a network or a wait. The time is an argument `now` (epoch seconds,
UTC), a random number an argument `jitter` (0 to 1).
"""
