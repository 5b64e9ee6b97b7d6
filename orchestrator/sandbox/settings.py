"""The settings of a sandbox: its state file, its durations, its faults and how its models answer."""

from __future__ import annotations

import tomllib
from pathlib import Path

from msgspec import Struct

from orchestrator.sandbox.faults import Fault, FaultError, parse_faults
from orchestrator.sandbox.simulation.answer_behaviour import (
    AnswerBehaviour,
    AnswerBehaviourError,
    parse_answer_behaviours,
)


class SandboxSettings(Struct, frozen=True):
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
    answers: tuple[AnswerBehaviour, ...] = ()
    """How the models of some accounts answer; the first entry that matches an account applies."""
    allow_remote: bool = False
    """Allow addresses other than loopback."""


def load_simulation(path: Path) -> tuple[tuple[Fault, ...], tuple[AnswerBehaviour, ...]]:
    """Load `[[faults]]` and `[[answers]]` from a TOML file. Raises FaultError or OSError."""
    try:
        document = tomllib.loads(path.read_text("utf-8"))
        answers = parse_answer_behaviours(document.pop("answers", []))
        return parse_faults(document), answers
    except AnswerBehaviourError as wrong:
        raise FaultError(str(wrong)) from wrong
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as broken:
        raise FaultError(f"{path}: not TOML: {broken}") from broken
