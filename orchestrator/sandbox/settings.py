"""The settings of a sandbox: its state file, its durations and its faults."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from orchestrator.sandbox.faults import Fault


@dataclass(frozen=True, slots=True)
class SandboxSettings:
    """The settings of a sandbox. Durations are in seconds; a file or job keeps those of its creation."""

    state: Path | None = None
    """SQLite file; the content of files is in the folder `NAME.files` beside it. None: in memory only."""
    discard_files: bool = False
    """Store only size, SHA-256 and verdict of a file; downloading its content then returns 404."""
    file_seconds: float = 1.0
    """Processing time of a file."""
    validating_seconds: float = 1.0
    """Time of a job in `validating_files`."""
    queue_seconds: float = 1.0
    """Minimum time of a job in `queued`."""
    training_seconds: float = 10.0
    """Time of a job in `running`."""
    max_running_jobs: int = 3
    """Jobs of one organisation that run at the same time; the others stay queued."""
    paused_status: str = "paused"
    """Status of a paused job. The published API contract does not list one."""
    webhooks: str | None = None
    """URL for webhooks about ended jobs, with `{account}` for the account name. None: no webhooks."""
    seed: int = 0
    """Seed of all random decisions."""
    faults: tuple[Fault, ...] = ()
    allow_remote: bool = False
    """Allow addresses other than loopback."""
