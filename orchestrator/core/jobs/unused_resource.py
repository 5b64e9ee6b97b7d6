"""Leftover: something this program made and no run needs any more."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from orchestrator.core.jobs.job import RunId


class ResourceKind(StrEnum):
    """What it is."""

    REMOTE_FILE = "remote file"
    UPLOAD = "unfinished upload"
    DATASET = "local dataset"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnusedResource:
    """`id` is the provider's; of a local dataset it is the file's name. `name` is what it must be called to be ours.

    `problem` is why it is left alone.
    """

    kind: ResourceKind
    account: str | None
    id: str
    name: str
    problem: str | None = None
    deleted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFiles:
    """What a job of ours has left at its provider: file names by file id. `ended`: the job wants nothing more."""

    account: str
    run_id: RunId
    ended: bool
    files: Mapping[str, str] = field(default_factory=dict)


def find_unused_files(jobs: Collection[JobFiles]) -> list[UnusedResource]:
    """The remote files of runs whose every job has ended, unless a job of another run uses them, too."""
    going_on = {holding.run_id for holding in jobs if not holding.ended}
    needed = {file for held in jobs if held.run_id in going_on for file in held.files}  # two may share a key
    made = {(held.account, file): name for held in jobs for file, name in held.files.items()}
    return [
        UnusedResource(kind=ResourceKind.REMOTE_FILE, account=account, id=file, name=name)
        for (account, file), name in sorted(made.items())
        if file not in needed
    ]
