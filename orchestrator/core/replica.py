"""Replicas: the service processes that work on one database."""

from __future__ import annotations

from orchestrator.core.structs import Struct


class Replica(Struct, frozen=True):
    """A service process and its last heartbeat. Times are epoch seconds, UTC."""

    id: str
    host: str
    pid: int
    started_at: float
    seen_at: float  # last heartbeat
    alive_until: float  # afterwards it counts as dead and loses its leases
