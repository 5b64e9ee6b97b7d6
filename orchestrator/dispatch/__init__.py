"""Hands out the ids of due jobs. One port (`Dispatcher`) with two adapters: one process, or many on PostgreSQL.

Correctness never depends on this package: a job that is handed out twice, late or never is at worst slow, because
every step is guarded by the job's version and its intent.
"""
