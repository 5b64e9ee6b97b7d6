"""What every provider dialect offers, and the values it is offered."""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from orchestrator.core.account import Account, AccountIdentity
from orchestrator.core.capabilities import Capabilities
from orchestrator.core.errors import RemoteNotFound, RequestRejected
from orchestrator.core.jobs.loss import Loss
from orchestrator.core.moderation import ModerationVerdict
from orchestrator.core.plans.price import Quote
from orchestrator.core.remote import MultipartUpload, RemoteEvent, RemoteFile, RemoteJob, RemoteJobStatus, RemoteModel
from orchestrator.core.secret import Secret
from orchestrator.core.spec import TrainingSpec


@dataclass(frozen=True, slots=True)
class Deadline:
    """Until when a call that creates something may be *sent*, in seconds on the boot-time clock.

    That clock also runs while the process is frozen.
    """

    expires_at: float
    boottime: Callable[[], float]

    @property
    def seconds_left(self) -> float:
        """Seconds left; negative when it has passed."""
        return self.expires_at - self.boottime()


class UploadStateStore(Protocol):
    """What is remembered of one file's upload in parts, so that it goes on where it stopped."""

    async def load(self) -> MultipartUpload | None:
        """The upload under way, if there is one."""

    async def save(self, upload: MultipartUpload | None) -> None:
        """Remember it durably; None when it is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetFile:
    """A part of the dataset on its way out. `filename` carries the hash: providers keep no checksum.

    `bytes` and `sha256` are of the canonical dataset, and so is the identity; the mark is only on the wire.
    """

    path: Path
    filename: str
    bytes: int
    sha256: str
    examples: int
    byte_order_mark: bool = False
    upload_state: UploadStateStore | None = field(default=None, compare=False)

    @property
    def wire_bytes(self) -> int:
        """How many bytes are sent."""
        return self.bytes + (len(BOM_UTF8) if self.byte_order_mark else 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOrder:
    """A job to be created, or to be found: `tag` is what it is found again by.

    Where a provider keeps no tag, a short form of it goes into the suffix, and the training file and base model
    decide with it.
    """

    tag: str
    spec: TrainingSpec
    training_file: str
    validation_file: str | None


class Provider(Protocol):
    """One account at one provider. Every method raises `ProviderError`s only, and `find_jobs` `AmbiguousRemoteJob`.

    The two calls that create something take a `deadline`: nothing is sent after it, and they end before it.
    When it is not known whether they had an effect they raise `UnknownOutcome`.
    """

    @property
    def capabilities(self) -> Capabilities:
        """What this provider offers."""

    async def verify(self) -> AccountIdentity:
        """Whose key this is."""

    async def find_model(self, name: str) -> RemoteModel | None:
        """What the provider says of a base model; None when it does not know it.

        Where `capabilities.shows_models`, of a finished model of ours as well; None when it is gone.
        """

    async def list_models(self) -> list[str]:
        """The names of the base models that the provider lists; empty where it has no list."""

    async def find_file(self, dataset_file: DatasetFile) -> RemoteFile | None:
        """A usable file that is already there: the same content, as far as the provider lets it be known."""

    async def upload_file(self, dataset_file: DatasetFile, deadline: Deadline) -> RemoteFile:
        """Send the file, streaming from a handle of its own."""

    async def get_file(self, file_id: str) -> RemoteFile:
        """The file's status now."""

    async def find_jobs(self, order: JobOrder) -> list[RemoteJob]:
        """Every remote job that carries the order's tag, to the last page.

        Raises `AmbiguousRemoteJob` for one that could be ours though it does not show what it was tagged with.
        """

    async def create_job(self, order: JobOrder, deadline: Deadline) -> RemoteJob:
        """Create the remote job. Sent at most once."""

    async def get_job(self, remote_job_id: str) -> RemoteJob:
        """The remote job now. Raises `RemoteNotFound` when it is not there."""

    async def cancel_job(self, remote_job_id: str) -> RemoteJob:
        """Ask for the end of the remote job. One that has ended already is answered as it is."""

    async def events(self, remote_job_id: str) -> list[RemoteEvent]:
        """The remote job's own history, oldest first; empty where the provider keeps none."""

    async def losses(self, remote_job_id: str, after: int) -> list[Loss]:
        """The losses of the steps after that one; empty where the provider tells none."""

    async def delete_file(self, file_id: str) -> None:
        """Delete a file. One that is gone already is fine."""


class ModerationProvider(Protocol):
    """A provider whose `capabilities.moderation` is true."""

    async def moderate(self, texts: Sequence[str]) -> list[ModerationVerdict]:
        """What its moderation says of each text, in their order. Asked once; raises `ProviderError`s only."""


class MultipartUploadProvider(Protocol):
    """A provider that takes large files in parts."""

    async def cancel_upload(self, upload_id: str) -> None:
        """End an upload in parts that was never completed. One that is over already is fine."""


class QuoteProvider(Protocol):
    """A provider whose `capabilities.quotes` is true."""

    async def quote(self, order: JobOrder) -> Quote | None:
        """What it estimates that the job would cost; None where it has no estimate. Creates nothing."""


ProviderFactory = Callable[[Account, Secret], Provider]
"""Makes the provider of one account; cheap, does no I/O."""


@dataclass(frozen=True, slots=True)
class ProviderConnection:
    """An account of the accounts file, ready to be spoken to."""

    account: Account
    key_fingerprint: str
    provider: Provider

    async def verify_identity(self) -> AccountIdentity:
        """Whose key this is. Raises WrongOrganization when that is not whom the accounts file names."""
        identity = await self.provider.verify()
        identity.check(self.account)
        return identity


TERMINAL_JOB_STATUSES: Final = frozenset(
    {RemoteJobStatus.SUCCEEDED, RemoteJobStatus.FAILED, RemoteJobStatus.CANCELLED, RemoteJobStatus.STOPPED}
)


async def cancel_and_get_job(cancel: Awaitable[object], get_job: Callable[[], Awaitable[RemoteJob]]) -> RemoteJob:
    """Ask for the job's end, then look at it. A refusal is one only for a job that has not ended."""
    try:
        await cancel
    except RemoteNotFound:
        raise
    except RequestRejected:
        job = await get_job()
        if job.status in TERMINAL_JOB_STATUSES:
            return job
        raise
    return await get_job()
