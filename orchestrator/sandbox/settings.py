"""How a sandbox is set up: where it keeps its state, how fast its time runs, which faults it has."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from orchestrator.sandbox.faults import Fault


@dataclass(frozen=True, slots=True)
class SandboxSettings:
    """Everything a sandbox is told from outside. Times are seconds; a file or job keeps those it was made with."""

    state: Path | None = None
    """SQLite file; the bytes of files lie beside it in `NAME.files`. None: in memory, gone at the end."""
    discard_files: bool = False
    """Keep only size, SHA-256 and the verdict of a file; its content then answers 404."""
    file_seconds: float = 1.0
    validating_seconds: float = 1.0
    queue_seconds: float = 1.0
    training_seconds: float = 10.0
    max_running_jobs: int = 3
    """Jobs of one organisation that train at once; the others stay queued."""
    paused_status: str = "paused"
    """What a paused job says. The published contract's list of states has no word for it."""
    webhooks: str | None = None
    """Where webhooks go when a job has ended; `{account}` is replaced. None: nowhere."""
    seed: int = 0
    faults: tuple[Fault, ...] = ()
    allow_remote: bool = False
    """Let it listen on other addresses than loopback."""
