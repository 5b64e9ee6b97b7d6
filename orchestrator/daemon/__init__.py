"""The running service: the scheduler decides when to work, the reconciler what to do."""
