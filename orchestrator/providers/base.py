"""The protocol that every provider dialect implements, and the values that it receives."""

# Why the protocol looks like this
#
# * Every method makes one logical step and raises: it never retries, waits or decides. The reconciler does those,
#   because only it knows the state of the job, and because a retry of a paid call must be a decision in one place.
# * `find_file` and `find_jobs` come before `upload_file` and `create_job`: what a lost response may have created is
#   looked up, never created again (decision 0005).
# * The two calls that create something take a `Deadline`. Their intent in the database lasts until then, and another
#   replica may take the job over afterwards, so a request that is sent later could be the second paid one.
# * Optional abilities are protocols of their own (`ModerationProvider`, `QuoteProvider`, …),
#   announced by `capabilities`; callers check the capability before the call. `DeploymentProvider` is announced by
#   `DEPLOYMENT_OFFERS` (core/deployment): its create has the rules of `create_job`.

from __future__ import annotations

from abc import ABC, abstractmethod
from codecs import BOM_UTF8
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final, Protocol

from orchestrator.core.account import Account, AccountIdentity
from orchestrator.core.capabilities import Capabilities, WireFormat
from orchestrator.core.deployment.cost import DeploymentOption
from orchestrator.core.deployment.deployment_spec import DeploymentSpec
from orchestrator.core.deployment.remote_deployment import RemoteDeployment
from orchestrator.core.errors import RemoteNotFound, RequestRejected
from orchestrator.core.inference import (
    ChatQuestion,
    ChatReply,
    ModelAddress,
    OptionalParameter,
    ReferenceQuestion,
    ReferenceScore,
)
from orchestrator.core.jobs.checkpoint import Checkpoint
from orchestrator.core.jobs.loss import Loss
from orchestrator.core.moderation import ModerationVerdict
from orchestrator.core.plans.price import Quote
from orchestrator.core.remote import MultipartUpload, RemoteEvent, RemoteFile, RemoteJob, RemoteJobStatus, RemoteModel
from orchestrator.core.secret import Secret
from orchestrator.core.spec import TrainingSpec
from orchestrator.core.structs import Struct


class Deadline(Struct, frozen=True):
    """The time until which a call that creates something may be *sent*."""

    expires_at: float  # seconds on the boot-time clock
    boottime: Callable[[], float]  # unlike the monotonic clock, it also runs while the machine is suspended

    @property
    def seconds_left(self) -> float:
        """The seconds left; negative after the deadline."""
        return self.expires_at - self.boottime()


class UploadStateStore(Protocol):
    """Stores the progress of one file's multipart upload, so that it continues after a restart."""

    async def load(self) -> MultipartUpload | None:
        """Return the upload in progress, if there is one."""

    async def save(self, upload: MultipartUpload | None) -> None:
        """Store the progress durably; None when the upload has ended."""


class DatasetFile(Struct, frozen=True, kw_only=True):
    """A training or validation file to upload."""

    path: Path  # on this machine: the canonical JSONL, or the file that was converted from it
    filename: str  # at the provider; contains the hash, because providers keep no checksum to find a file by
    bytes: int  # size of the file, without the mark
    sha256: str  # of the file, without the mark
    examples: int  # number of lines
    wire_format: WireFormat = WireFormat.CHAT_LINES  # another one: the file is not the canonical one
    byte_order_mark: bool = False  # whether the provider needs a mark before the first byte; only sent, never stored
    upload_state: UploadStateStore | None = None  # for multipart uploads; of one job, so the file is no key

    @property
    def wire_bytes(self) -> int:
        """The number of bytes that are sent, including the mark."""
        return self.bytes + (len(BOM_UTF8) if self.byte_order_mark else 0)


class JobOrder(Struct, frozen=True, kw_only=True):
    """A remote job to create or to find."""

    tag: str  # identifies the job at the provider: as metadata, as its id, or in the suffix (tagging.py)
    spec: TrainingSpec
    training_file: str  # the provider's file id
    validation_file: str | None  # the provider's file id


class Provider(Protocol):
    """One account at one provider.

    Every method may raise any `ProviderError`; the errors named below are those with a meaning of their own. The two
    calls with a `deadline` send nothing after it and end before it.
    """

    @property
    def capabilities(self) -> Capabilities:
        """The features and limits of the provider."""

    async def verify(self) -> AccountIdentity:
        """Return the organisation and project of the key. Raises AuthenticationFailed for a wrong key."""

    async def find_model(self, name: str) -> RemoteModel | None:
        """Return what the provider reports about a base model; None if the provider does not have it.

        With `capabilities.has_model_lookup` also about a finished model of ours; None when it has been deleted.
        """

    async def list_models(self) -> list[str]:
        """Return the names of the base models that the provider lists; empty if it has no list."""

    async def find_file(self, dataset_file: DatasetFile) -> RemoteFile | None:
        """Return a usable uploaded file with this name and size; None if there is none."""

    async def upload_file(self, dataset_file: DatasetFile, deadline: Deadline) -> RemoteFile:
        """Upload the file. Raises UnknownOutcome if it may have arrived, FileNotReady if it must be continued."""

    async def get_file(self, file_id: str) -> RemoteFile:
        """Return the current status of a file. Raises RemoteNotFound."""

    async def find_jobs(self, order: JobOrder) -> list[RemoteJob]:
        """Return every remote job with the order's tag, to the last page of the list.

        Raises AmbiguousRemoteJob for a job that may be ours but does not show its tag.
        """

    async def create_job(self, order: JobOrder, deadline: Deadline) -> RemoteJob:
        """Create the remote job; sent at most once. Raises UnknownOutcome if it may have been created."""

    async def get_job(self, remote_job_id: str) -> RemoteJob:
        """Return the current state of a remote job. Raises RemoteNotFound."""

    async def cancel_job(self, remote_job_id: str) -> RemoteJob:
        """Request cancellation and return the job's state. A job that has ended already is returned as it is."""

    async def events(self, remote_job_id: str) -> list[RemoteEvent]:
        """Return the events of a remote job, oldest first; empty if the provider has none."""

    async def losses(self, remote_job_id: str, after: int) -> list[Loss]:
        """Return the losses of the training steps after step `after`; empty if the provider reports none."""

    async def delete_file(self, file_id: str) -> None:
        """Delete a file. Succeeds if the file does not exist."""


class ModerationProvider(Protocol):
    """A provider whose `capabilities.moderation` is true."""

    async def moderate(self, texts: Sequence[str]) -> list[ModerationVerdict]:
        """Return the verdict on each text, in their order. Sent once. Raises ProviderError."""


class MultipartUploadProvider(Protocol):
    """A provider that accepts large files in parts."""

    async def cancel_upload(self, upload_id: str) -> None:
        """Cancel an incomplete multipart upload. Succeeds if it has ended already."""


class CheckpointProvider(Protocol):
    """A provider whose `capabilities.checkpoints` is true."""

    async def checkpoints(self, remote_job_id: str) -> list[Checkpoint]:
        """Return the checkpoints that the provider kept of a remote job that has succeeded, in any order."""


class JobPaging(Struct, frozen=True):
    """How a server gives out its list of jobs."""

    honours_cursor: bool  # whether the page after a job starts after it
    hides_jobs: bool  # whether there are jobs that no page shows


class JobPagingProvider(Protocol):
    """A provider whose list of jobs is read with a cursor. Only conformance tests need it."""

    async def probe_job_paging(self, remote_job_id: str) -> JobPaging:
        """Return how the server pages the list of jobs, which contains this job."""


class ChatProvider(Protocol):
    """A provider whose models can be asked."""

    async def ask(
        self, address: ModelAddress, question: ChatQuestion, left_out: frozenset[OptionalParameter] | None
    ) -> ChatReply:
        """Ask a model one question, once. A refusal or a filter is a reply. Raises ProviderError.

        `left_out` is what earlier replies of this model report as refused. None for the first question to it: then
        the question is repeated without the parameters that the model refuses.
        """


class ReferenceProvider(Protocol):
    """A provider whose entry in `PROVIDERS` has `scores_references`."""

    async def score_reference(self, address: ModelAddress, question: ReferenceQuestion) -> ReferenceScore:
        """Return the log-probability that a model gives to a reference answer. Raises ProviderError."""


class QuoteProvider(Protocol):
    """A provider whose `capabilities.has_quotes` is true."""

    async def quote(self, order: JobOrder) -> Quote | None:
        """Return the provider's estimate of the job's price; None if there is none. Creates nothing."""


class DeploymentOrder(Struct, frozen=True, kw_only=True):
    """A remote deployment to create or to find."""

    tag: str  # identifies the deployment at the provider, in its name, its tags or its description
    name: str  # that carries the tag, short enough for the provider (`format_deployment_name`)
    model: str  # the provider's id of the fine-tuned model, or of a checkpoint
    base_model: str
    spec: DeploymentSpec
    expires_at: float  # epoch seconds; written at the provider where it has a place for it, for a lost database


class DeploymentSearch(Struct, frozen=True):
    """What a provider has that may be the deployment of an order."""

    found: tuple[RemoteDeployment, ...]  # with the order's tag, to the last page of the list
    named: RemoteDeployment | None = None  # with the order's name, whether it is ours or not


class DeploymentProvider(Protocol):
    """A provider with kinds of deployments in `DEPLOYMENT_OFFERS`.

    Every method may raise any `ProviderError`. As with jobs, no method retries, waits or decides.
    """

    async def list_deployment_options(self, base_model: str) -> list[DeploymentOption] | None:
        """Return the ways in which models of this base model can be deployed, with their prices; none: it cannot.

        None: the provider does not report it. Is called before the training, so that nothing is trained for which
        there is no deployment. Creates nothing.
        """

    async def find_deployments(self, order: DeploymentOrder) -> DeploymentSearch:
        """Return the deployments with the order's tag, and the one with its name, to the last page of the list."""

    async def create_deployment(self, order: DeploymentOrder, deadline: Deadline) -> RemoteDeployment:
        """Create the deployment; sent at most once. Raises UnknownOutcome if it may have been created.

        Must not be called while `find_deployments` returns a deployment with this name: a create under an existing
        name can change that deployment. Raises JobLimitReached while another operation of the account is in progress.
        """

    async def get_deployment(self, remote_id: str) -> RemoteDeployment:
        """Return the current state of a deployment. Raises RemoteNotFound."""

    async def call_deployment(self, remote: RemoteDeployment) -> None:
        """Make one call of one token. Raises DeploymentNotReady while the deployment does not answer yet."""

    async def remove_deployment(self, remote: RemoteDeployment) -> None:
        """Make one step of the removal: stop a deployment that cannot be deleted while it runs, else delete it.

        Succeeds if it does not exist. The removal is complete when `find_deployments` returns nothing.
        """

    async def list_own_deployments(self) -> list[RemoteDeployment]:
        """Return every deployment of this program in the account, also those that no database knows."""


ProviderFactory = Callable[[Account, Secret], Provider]
"""Creates the provider of one account from its key. Is called for each of thousands of accounts: does no I/O."""


SecretLoader = Callable[[str], Awaitable[Secret]]
"""Reads the secret of another reference of an account than `api_key`, each time. Raises TemporaryError."""


class ProviderConnection(Struct, frozen=True):
    """An account of the accounts file with the provider that acts for it."""

    account: Account
    key_fingerprint: str  # shows whether a key was replaced, without revealing it
    provider: Provider

    async def verify_identity(self) -> AccountIdentity:
        """Return the identity of the key. Raises WrongOrganization if it differs from the accounts file."""
        identity = await self.provider.verify()
        identity.check(self.account)
        return identity


TERMINAL_JOB_STATUSES: Final = frozenset(
    {RemoteJobStatus.SUCCEEDED, RemoteJobStatus.FAILED, RemoteJobStatus.CANCELLED, RemoteJobStatus.STOPPED}
)


class ProviderDefaults(ABC):
    """The parts of a `Provider` that are alike in most dialects. A dialect overrides what its provider offers."""

    @abstractmethod
    async def get_job(self, remote_job_id: str) -> RemoteJob:
        """Return the current state of a remote job. Raises RemoteNotFound."""

    @abstractmethod
    async def _send_cancel(self, remote_job_id: str) -> None:
        """Send the request that cancels a job. Raises RequestRejected for one that has ended."""

    async def cancel_job(self, remote_job_id: str) -> RemoteJob:
        """Cancel the job and return its state. A refusal is ignored if the job has ended: that is the reason."""
        try:
            await self._send_cancel(remote_job_id)
        except RemoteNotFound:
            raise
        except RequestRejected:
            job = await self.get_job(remote_job_id)
            if job.status in TERMINAL_JOB_STATUSES:
                return job
            raise
        return await self.get_job(remote_job_id)

    async def events(self, remote_job_id: str) -> list[RemoteEvent]:
        return []

    async def losses(self, remote_job_id: str, after: int) -> list[Loss]:
        return []
