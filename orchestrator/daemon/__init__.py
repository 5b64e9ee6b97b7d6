"""Daemon: the loop. Scheduler says when, reconciler says what: load, act, record. Only here are providers called."""
