"""What every provider dialect offers, and the values it is offered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from orchestrator.core.account import Account, Identity
from orchestrator.core.remote import RemoteFile, RemoteJob
from orchestrator.core.secret import Secret
from orchestrator.core.spec import TrainingSpec


@dataclass(frozen=True, slots=True)
class Deadline:
    """Until when a call that creates something may be *sent*, in seconds on the boot-time clock.

    That clock also runs while the process is frozen.
    """

    at: float
    boottime: Callable[[], float]

    @property
    def left(self) -> float:
        """Seconds left; negative when it has passed."""
        return self.at - self.boottime()


@dataclass(frozen=True, slots=True, kw_only=True)
class FileToSend:
    """A part of the dataset on its way out. `filename` carries the hash: providers keep no checksum."""

    path: Path
    filename: str
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOrder:
    """A job to be created. `tag` is what it is found again by."""

    tag: str
    spec: TrainingSpec
    training_file: str
    validation_file: str | None


class Provider(Protocol):
    """One account at one provider. Every method raises `ProviderError`s only.

    The two calls that create something take a `deadline`: nothing is sent after it, and they end before it.
    When it is not known whether they had an effect they raise `UnknownOutcome`.
    """

    async def verify(self) -> Identity:
        """Whose key this is."""

    async def find_file(self, wanted: FileToSend) -> RemoteFile | None:
        """A usable file that is already there: same name and size."""

    async def upload_file(self, wanted: FileToSend, deadline: Deadline) -> RemoteFile:
        """Send the file, streaming from a handle of its own."""

    async def get_file(self, file_id: str) -> RemoteFile:
        """The file's status now."""

    async def find_jobs(self, tag: str) -> list[RemoteJob]:
        """Every remote job that carries the tag, to the last page."""

    async def create_job(self, order: JobOrder, deadline: Deadline) -> RemoteJob:
        """Create the remote job. Sent at most once."""

    async def get_job(self, remote_job_id: str) -> RemoteJob:
        """The remote job now. Raises `RemoteMissing` when it is not there."""

    async def cancel_job(self, remote_job_id: str) -> RemoteJob:
        """Ask for the end of the remote job."""

    async def delete_file(self, file_id: str) -> None:
        """Delete a file. One that is gone already is fine."""


Connect = Callable[[Account, Secret], Provider]
"""Makes the provider of one account; cheap, does no I/O."""


@dataclass(frozen=True, slots=True)
class Connection:
    """An account of the accounts file, ready to be spoken to."""

    account: Account
    key_fingerprint: str
    provider: Provider
