"""Errors, arranged by what to do next.

```
OrchestratorError              the message says what and where; `.hint` says the operator's next step
├── ConfigError                accounts file, environment or usage: fix and start again (exit 2)
│   └── NothingToDo            what was asked for is so already: nothing was changed (exit 1)
├── DatasetError               carries findings
│   └── DatasetChanged         the file here is no longer the one that was planned
├── BudgetExceeded                 would go beyond a budget: found at the last moment before it is spent
├── DatabaseLocked               another process owns this database
├── DatabaseUnavailable               the database does not answer
├── ProviderError              account and request id; the text is cut and holds no secret
│   ├── TemporaryError         try again, not before `retry_after`
│   │   ├── RateLimited        too many requests, or a limit that resets by itself
│   │   │   └── DailyLimitReached     a limit of the day: wait for the next, costs no attempt
│   │   ├── JobLimitReached         too many jobs are running: wait for one to end, costs no attempt
│   │   ├── FileNotReady           the file is still being checked: wait, costs no attempt
│   │   └── ProviderUnavailable
│   ├── UnknownOutcome         a create whose answer was lost: look it up, never resend
│   ├── AccountError           hold the account until a person or a time releases it
│   │   ├── AuthenticationFailed
│   │   ├── WrongOrganization
│   │   ├── TrainingNotAllowed
│   │   ├── QuotaExhausted
│   │   ├── CertificateNotTrusted
│   │   ├── ProxyRefused
│   │   └── UploadAddressRefused
│   └── RequestRejected        final for this job: bad file, bad hyperparameter, unknown base model
│       └── RemoteNotFound      the provider does not have it (any more)
├── AmbiguousRemoteJob         two remote things could be ours: a person chooses, money never does
├── UploadSizeMismatch              the provider says another size than was sent: a person looks before it is paid for
├── IllegalTransition          our bug
└── StaleJob                   someone else advanced it: drop quietly
```
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from orchestrator.core.finding import Finding
    from orchestrator.core.secret import Redactor

MAX_MESSAGE_LENGTH = 500  # characters of a provider's text that are kept


class OrchestratorError(Exception):
    """Something this program can explain."""

    kind: ClassVar[str] = "orchestrator_error"
    """Names the error in `/status`, logs and stored rows. It never changes, whatever the class is called."""
    default_hint: ClassVar[str] = ""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint or self.default_hint


class ConfigError(OrchestratorError):
    """The accounts file, the environment or the command line is wrong; `problems` names every fault found."""

    kind: ClassVar[str] = "config_error"

    def __init__(self, message: str, *, hint: str = "", problems: Sequence[str] = ()) -> None:
        super().__init__(message, hint=hint)
        self.problems = tuple(problems)


class NothingToDo(ConfigError):
    """What was asked for has nothing to act on; nothing was changed."""

    kind: ClassVar[str] = "nothing_to_do"


class DatasetError(OrchestratorError):
    """The dataset cannot be used; `findings` says where and why."""

    kind: ClassVar[str] = "dataset_error"

    def __init__(self, message: str, *, hint: str = "", findings: Sequence[Finding] = ()) -> None:
        super().__init__(message, hint=hint)
        self.findings = tuple(findings)


class DatasetChanged(DatasetError):
    """The dataset's file here is gone, or has other bytes than the run was planned with. Nothing is sent."""

    kind: ClassVar[str] = "dataset_changed"
    default_hint = "Start the service again, or send it SIGHUP: the file is made anew from the chats."


class BudgetExceeded(OrchestratorError):
    """To submit the job would go beyond its account's budget."""

    kind: ClassVar[str] = "unsafe_plan"
    default_hint = "Raise the account's `budget_usd` in the accounts file, or make the dataset smaller."


class DatabaseLocked(OrchestratorError):
    """Another orchestrator process owns this database."""

    kind: ClassVar[str] = "database_busy"
    default_hint = "Stop the other process, or use PostgreSQL for several replicas."


class DatabaseUnavailable(OrchestratorError):
    """The database does not answer."""

    kind: ClassVar[str] = "database_away"
    default_hint = "See that it runs and can be reached; the service goes on by itself once it does."


class ProviderError(OrchestratorError):
    """A provider's answer, or its absence. The text is cut to 500 characters and carries no key.

    `retry_after` (seconds) is the server's own wish, if it had one.
    """

    kind: ClassVar[str] = "provider_error"

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        account: str = "",
        request_id: str | None = None,
        code: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message[:MAX_MESSAGE_LENGTH], hint=hint)
        self.account = account
        self.request_id = request_id
        self.code = code
        self.retry_after = retry_after


class TemporaryError(ProviderError):
    """The same call may work later."""

    kind: ClassVar[str] = "temporary_error"
    default_hint = "Nothing to do: it is tried again."


class RateLimited(TemporaryError):
    """Too many requests, or a limit that resets by itself."""

    kind: ClassVar[str] = "rate_limited"
    default_hint = "Nothing to do: it is tried again when the provider allows it."


class DailyLimitReached(RateLimited):
    """No more today: the limit resets once a day."""

    kind: ClassVar[str] = "daily_limit"
    default_hint = "Nothing to do: it is tried again when the next day (UTC) begins."


class JobLimitReached(TemporaryError):
    """The account runs as many jobs as the provider allows."""

    kind: ClassVar[str] = "slots_taken"
    default_hint = "Nothing to do: it starts when another job of this account ends."


class FileNotReady(TemporaryError):
    """The provider is still checking the file."""

    kind: ClassVar[str] = "not_ready"
    default_hint = "Nothing to do: it is tried again when the file is ready."


class ProviderUnavailable(TemporaryError):
    """The provider did not answer, or answered with a server error."""

    kind: ClassVar[str] = "provider_unavailable"
    default_hint = (
        "It is tried again. If it lasts, check the account's `base_url`, this machine's network and its proxy: "
        "`orchestrator doctor` shows them."
    )


class UnknownOutcome(ProviderError):
    """A create was sent and its answer was lost: it may or may not have happened."""

    kind: ClassVar[str] = "unknown_outcome"
    default_hint = "Nothing to do: the provider is asked whether it happened before anything is sent again."


class AccountError(ProviderError):
    """Nothing will work in this account until something there is changed."""

    kind: ClassVar[str] = "account_error"


class AuthenticationFailed(AccountError):
    """The provider does not accept the key."""

    kind: ClassVar[str] = "authentication_failed"
    default_hint = "Check the key that the account's `api_key` reference leads to, then `orchestrator release` it."


class WrongOrganization(AccountError):
    """The key belongs to another organisation or project than the accounts file says."""

    kind: ClassVar[str] = "wrong_organization"
    default_hint = "Correct the key or the account's `organization`, then `orchestrator release` it."


class TrainingNotAllowed(AccountError):
    """The account may not create fine-tuning jobs."""

    kind: ClassVar[str] = "training_not_allowed"
    default_hint = (
        "Ask the account's owner for permission to train, or move the account to another provider; "
        "then `orchestrator release` it."
    )


class QuotaExhausted(AccountError):
    """The account has no money or quota left."""

    kind: ClassVar[str] = "quota_exhausted"
    default_hint = "Add credit or raise the limit at the provider, then `orchestrator release` the account."


class CertificateNotTrusted(AccountError):
    """The server's certificate cannot be verified: a missing authority, another host, or out of date."""

    kind: ClassVar[str] = "certificate_not_trusted"
    default_hint = (
        "Put the authority's certificate into a file, set ORCHESTRATOR_CA_FILE to its path and restart; "
        "then `orchestrator release` the account."
    )


class ProxyRefused(AccountError):
    """The proxy on the way to the provider refuses the connection."""

    kind: ClassVar[str] = "proxy_refused"
    default_hint = (
        "Correct the proxy's user and password, or ask its administrator to allow the provider's host; "
        "then `orchestrator release` the account."
    )


class UploadAddressRefused(AccountError):
    """The provider names an address for the upload that does not lead to its storage. The chats were not sent."""

    kind: ClassVar[str] = "upload_address_refused"
    default_hint = (
        "Check the account's `base_url` and what answers there, and report the address to the provider; "
        "then `orchestrator release` the account."
    )


class RequestRejected(ProviderError):
    """The provider refuses this request for good."""

    kind: ClassVar[str] = "request_rejected"
    default_hint = "Correct what the message names, then `orchestrator retry` the account."


class RemoteNotFound(RequestRejected):
    """The provider does not have the file or job (any more)."""

    kind: ClassVar[str] = "remote_missing"
    default_hint = "Look at the provider's console for what became of it, then `orchestrator retry` the account."


class AmbiguousRemoteJob(OrchestratorError):
    """Two remote things could be ours, and choosing wrongly would cost money.

    `sent` says that a create was sent just now: lists may not show it before its intent is over.
    """

    kind: ClassVar[str] = "ambiguous"
    default_hint = "Look at both at the provider and keep one."

    def __init__(self, message: str, *, hint: str = "", create_sent: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.create_sent = create_sent


class UploadSizeMismatch(OrchestratorError):
    """The provider says that it has another number of bytes than were sent."""

    kind: ClassVar[str] = "upload_differs"
    default_hint = (
        "Look at the file in the provider's console: training on a damaged file costs as much. "
        "`orchestrator release` the account to use it as it is, or `orchestrator cancel` it."
    )


class IllegalTransition(OrchestratorError):
    """A bug of ours: this event cannot happen in this state. Nothing was changed."""

    kind: ClassVar[str] = "illegal_transition"
    default_hint = "Please report this with the job's history."


class StaleJob(OrchestratorError):
    """Someone else advanced the job in the meantime; this outcome is dropped."""

    kind: ClassVar[str] = "stale_job"


NETWORK_HOLD_KINDS = frozenset({CertificateNotTrusted.kind, ProxyRefused.kind})
"""What an account is held for that this machine's configuration can put right: a new start tries again."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An error as it is kept and shown: what kind, what happened, what to do next."""

    kind: str
    message: str
    hint: str
    request_id: str | None = None

    @classmethod
    def from_error(cls, error: OrchestratorError) -> Failure:
        """The lasting part of an error."""
        return cls(error.kind, error.message, error.hint, getattr(error, "request_id", None))

    def redacted(self, redact: Redactor) -> Failure:
        """The same without keys, cut, and fit for a database: a provider may put anything into its texts."""
        message = redact.truncate(self.message, MAX_MESSAGE_LENGTH)
        return replace(self, message=message.encode(errors="replace").decode().replace("\0", ""))
