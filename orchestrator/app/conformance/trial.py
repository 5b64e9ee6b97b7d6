"""The state that the checks of one conformance test share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from orchestrator.app.conformance.report import ContractCheck, ContractResult, JobRecovery
from orchestrator.core.account import Account
from orchestrator.core.remote import RemoteFile, RemoteJob, RemoteJobStatus
from orchestrator.core.spec import TrainingSpec
from orchestrator.core.structs import replace
from orchestrator.providers.base import TERMINAL_JOB_STATUSES, DatasetFile, Deadline, JobOrder, Provider

CALL_SECONDS: Final = 60.0  # for each call that creates something, as long as an intent of the service
FIRST_POLL_SECONDS: Final = 0.2
MAX_POLL_SECONDS: Final = 2.0

Connect = Callable[[Account], Provider]


@dataclass(slots=True, kw_only=True)
class Trial:
    """One conformance test in progress."""

    account: Account
    connect: Connect  # returns the provider for the account with other options
    spec: TrainingSpec
    tag: str
    file: DatasetFile
    boottime: Callable[[], float]
    sleep: Callable[[float], Awaitable[object]]
    max_wait_seconds: float  # for a file or a job to reach the expected status
    provider: Provider = field(init=False)
    checks: list[ContractCheck] = field(default_factory=list)
    remote_file: RemoteFile | None = None
    remote_job: RemoteJob | None = None  # as it was last seen
    words: dict[str, RemoteJobStatus] = field(default_factory=dict)  # the status words of the job, in their order
    recovery: JobRecovery = JobRecovery.UNTESTED
    found_by: str = ""
    account_options: Mapping[str, Any] = field(default_factory=dict)  # with which the server accepted the job
    leftovers: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.provider = self.connect(self.account)

    def add(self, name: str, result: ContractResult, message: str, fix: str = "") -> None:
        """Add the result of a check."""
        self.checks.append(ContractCheck(name, result, message, fix))

    def build_order(self) -> JobOrder:
        """Build the order of the test's job. Without a file no job matches it."""
        file_id = self.remote_file.id if self.remote_file else "no-file"
        return JobOrder(tag=self.tag, spec=self.spec, training_file=file_id, validation_file=None)

    def start_deadline(self) -> Deadline:
        """Return a deadline for one call."""
        return Deadline(self.boottime() + CALL_SECONDS, self.boottime)

    def record_job(self, job: RemoteJob) -> None:
        """Record what the server reports about the job."""
        self.remote_job = job
        self.words.setdefault(job.raw_status, job.status)

    @property
    def has_ended(self) -> bool:
        """Whether the job was last seen in a final status."""
        return self.remote_job is not None and self.remote_job.status in TERMINAL_JOB_STATUSES

    async def wait_for(self, is_reached: Callable[[], Awaitable[bool]], max_seconds: float | None = None) -> bool:
        """Poll until the condition holds, at most `max_seconds`. Returns whether it held."""
        end = self.boottime() + (self.max_wait_seconds if max_seconds is None else max_seconds)
        pause = FIRST_POLL_SECONDS
        while not await is_reached():
            if self.boottime() >= end:
                return False
            await self.sleep(pause)
            pause = min(2 * pause, MAX_POLL_SECONDS)
        return True

    def use_options(self, options: Mapping[str, Any]) -> None:
        """Continue with other options of the account."""
        self.account_options = options
        self.account = replace(self.account, **options)
        self.provider = self.connect(self.account)
