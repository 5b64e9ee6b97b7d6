"""Files and uploads that the program created and that no run needs any more; `orchestrator prune` deletes them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import StrEnum

from orchestrator.core.capabilities import WireFormat
from orchestrator.core.jobs.job import RunId
from orchestrator.core.structs import Struct, field


class ResourceKind(StrEnum):
    """The kind of an unused resource. The values are part of the JSON output of `orchestrator prune`."""

    REMOTE_FILE = "remote file"
    UPLOAD = "unfinished upload"
    DATASET = "local dataset"
    DEPLOYMENT = "deployment"


class UnusedResource(Struct, frozen=True, kw_only=True):
    """Something that can be deleted. The field names are those of the JSON output of `orchestrator prune`."""

    kind: ResourceKind
    account: str | None  # None for a local dataset
    id: str  # the provider's id; for a local dataset the file name
    name: str  # the expected file name or tag: what has another one is not deleted
    problem: str | None = None  # why it is not deleted
    deleted: bool = False


class JobFiles(Struct, frozen=True, kw_only=True):
    """The files that a job uses at its provider."""

    account: str
    run_id: RunId
    ended: bool  # the job has ended and does not need the files any more
    files: Mapping[str, str] = field(default_factory=dict)  # file names by file id


class EarlierFile(Struct, frozen=True, kw_only=True):
    """A file that an earlier round of a job uploaded for itself alone. Its id is no longer known."""

    account: str
    wire_format: WireFormat
    tag: str  # of that round
    sha256: str  # of the canonical file
    bytes: int  # of the canonical file
    examples: int


def find_unused_files(jobs: Collection[JobFiles]) -> list[UnusedResource]:
    """Find the remote files of runs whose jobs have all ended, without those that a job of an open run uses."""
    open_runs = {job.run_id for job in jobs if not job.ended}
    # Compared by file id alone: two accounts with the same key see the same files.
    needed = {file for job in jobs if job.run_id in open_runs for file in job.files}
    names = {(job.account, file): name for job in jobs for file, name in job.files.items()}
    return [
        UnusedResource(kind=ResourceKind.REMOTE_FILE, account=account, id=file, name=name)
        for (account, file), name in sorted(names.items())
        if file not in needed
    ]
