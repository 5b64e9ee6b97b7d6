"""Replica: one process that does the work, alone or beside others on the same database."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Replica:
    """A process and its last sign of life. Times are epoch seconds, UTC; after `alive_until` it counts as dead."""

    id: str
    host: str
    pid: int
    started_at: float
    seen_at: float
    alive_until: float
