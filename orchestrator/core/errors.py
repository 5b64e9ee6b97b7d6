"""The errors of the program, arranged by what has to be done next.

```
OrchestratorError              `message` states what went wrong and where; `hint` is the operator's next step
├── ConfigError                accounts file, environment or usage: correct it and start again (exit code 2)
│   └── NothingToDo            the requested state already applies: nothing was changed (exit code 1)
├── DatasetError               carries findings
│   └── DatasetChanged         the file on this machine is no longer the file of the plan
├── BudgetExceeded             the job would exceed the account's budget: detected when its intent is written
├── DatabaseLocked             another process owns this database
├── DatabaseUnavailable        the database does not answer
├── ProviderError              carries account and request id; its text is cut and holds no secret
│   ├── TemporaryError         retry, not before `retry_after`
│   │   ├── RateLimited        too many requests, or a limit that resets by itself
│   │   │   └── DailyLimitReached  a limit per day: wait for the next day; does not count as an attempt
│   │   ├── JobLimitReached    too many jobs are running: wait until one ends; does not count as an attempt
│   │   ├── SearchTooSlow      the search before a create took too long: nothing was sent, the next one has more time
│   │   ├── FileNotReady       the provider is still checking the file: wait; does not count as an attempt
│   │   ├── DeploymentNotReady the deployment does not answer calls yet: it is starting, waking or not routed
│   │   └── ProviderUnavailable
│   ├── UnknownOutcome         the reply to a create was lost: look the job up, never send the create again
│   ├── AccountError           hold the account until an operator or a time releases it
│   │   ├── AuthenticationFailed
│   │   ├── WrongOrganization
│   │   ├── TrainingNotAllowed
│   │   ├── QuotaExhausted
│   │   ├── CertificateNotTrusted
│   │   ├── ProxyRefused
│   │   └── UploadAddressRefused
│   └── RequestRejected        final for this job: bad file, bad hyperparameter, unknown base model
│       ├── RemoteNotFound     the provider does not have the file or job (any more)
│       ├── JobNameTaken       the name of the job is used up by somebody else's: a retry uses another name
│       └── DeploymentNameTaken    the name of a deployment belongs to somebody else's: nothing is sent
├── AmbiguousRemoteJob         two remote jobs could belong to one job: an operator chooses, a create never decides
├── UploadSizeMismatch         the provider reports another size than was sent: an operator checks before the training
├── IllegalTransition          a bug of the program
└── StaleJob                   another replica changed the job meanwhile: drop the outcome
```
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from orchestrator.core.structs import Struct, replace

if TYPE_CHECKING:
    from orchestrator.core.finding import Finding
    from orchestrator.core.secret import Redactor

MAX_MESSAGE_LENGTH = 500  # characters of a provider's text that are kept


class OrchestratorError(Exception):
    """The base of all errors that the program can explain. Anything else is a bug and shows a traceback."""

    kind: ClassVar[str] = "orchestrator_error"
    """Names the error in `/status`, logs and stored rows. It never changes, even if the class is renamed."""
    default_hint: ClassVar[str] = ""
    """The operator's next step where the code that raises the error knows no better one."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint or self.default_hint


class ConfigError(OrchestratorError):
    """The accounts file, the environment or the command line is wrong; `problems` lists every problem."""

    kind: ClassVar[str] = "config_error"

    def __init__(self, message: str, *, hint: str = "", problems: Sequence[str] = ()) -> None:
        super().__init__(message, hint=hint)
        self.problems = tuple(problems)


class NothingToDo(ConfigError):
    """The request applies to no run, job or delivery in its current state. Nothing was changed."""

    kind: ClassVar[str] = "nothing_to_do"


class DatasetError(OrchestratorError):
    """The dataset cannot be used; `findings` names the places and the reasons."""

    kind: ClassVar[str] = "dataset_error"

    def __init__(self, message: str, *, hint: str = "", findings: Sequence[Finding] = ()) -> None:
        super().__init__(message, hint=hint)
        self.findings = tuple(findings)


class DatasetChanged(DatasetError):
    """The dataset's file on this machine is missing, or its bytes differ from those of the plan. Nothing is sent."""

    kind: ClassVar[str] = "dataset_changed"
    default_hint = "Restart the service or send it SIGHUP: it builds the file again from the chats."


class BudgetExceeded(OrchestratorError):
    """The job would exceed its account's budget. Nothing was submitted."""

    kind: ClassVar[str] = "unsafe_plan"
    default_hint = "Raise the account's `budget_usd` in the accounts file, or make the dataset smaller."
    until: float | None = None  # epoch seconds at which the budget begins again; None: never


class DatabaseLocked(OrchestratorError):
    """Another orchestrator process owns this database."""

    kind: ClassVar[str] = "database_busy"
    default_hint = "Stop the other process, or use PostgreSQL for several replicas."


class DatabaseUnavailable(OrchestratorError):
    """The database does not answer."""

    kind: ClassVar[str] = "database_away"
    default_hint = "Check that the database is running and reachable. The service then continues automatically."


class ProviderError(OrchestratorError):
    """The provider replied with an error, or did not reply. Its text is cut to 500 characters and contains no key.

    `retry_after` is the delay in seconds that the server requested, None if it requested none.
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
    default_hint = "No action needed: the service tries again automatically."


class RateLimited(TemporaryError):
    """Too many requests, or a limit that resets by itself."""

    kind: ClassVar[str] = "rate_limited"
    default_hint = "No action needed: the service tries again when the provider allows it."


class DailyLimitReached(RateLimited):
    """A daily limit of the provider is reached; it resets once a day."""

    kind: ClassVar[str] = "daily_limit"
    default_hint = "No action needed: the service tries again when the next day (UTC) begins."


class JobLimitReached(TemporaryError):
    """The account already runs as many jobs as the provider allows."""

    kind: ClassVar[str] = "slots_taken"
    default_hint = "No action needed: the job starts when another job of this account ends."


class SearchTooSlow(TemporaryError):
    """The search for an earlier remote job took so long that nothing could be created after it. Nothing was sent."""

    kind: ClassVar[str] = "search_too_slow"
    default_hint = "No action needed: the service tries again, and gives the search three minutes more."


class FileNotReady(TemporaryError):
    """The provider is still checking the file."""

    kind: ClassVar[str] = "not_ready"
    default_hint = "No action needed: the service tries again when the file is ready."


class DeploymentNotReady(TemporaryError):
    """The deployment does not answer calls yet: it is starting, waking, or not reachable by its name."""

    kind: ClassVar[str] = "deployment_not_ready"
    default_hint = "No action needed: the service calls it again until it answers."


class ProviderUnavailable(TemporaryError):
    """The provider did not answer, or answered with a server error."""

    kind: ClassVar[str] = "provider_unavailable"
    default_hint = (
        "The service tries again. If the problem persists, check the account's `base_url`, this machine's network "
        "and its proxy: `orchestrator doctor` shows them."
    )


class UnknownOutcome(ProviderError):
    """A create was sent and its reply was lost: the provider may or may not have the job."""

    kind: ClassVar[str] = "unknown_outcome"
    default_hint = "No action needed: the service searches the provider for the job before it sends another create."


class AccountError(ProviderError):
    """No request of this account will succeed until the account or its configuration is changed."""

    kind: ClassVar[str] = "account_error"


class AuthenticationFailed(AccountError):
    """The provider does not accept the key."""

    kind: ClassVar[str] = "authentication_failed"
    default_hint = "Check the key that the account's `api_key` refers to, then `orchestrator release` the account."


class WrongOrganization(AccountError):
    """The key belongs to another organisation or project than the accounts file names."""

    kind: ClassVar[str] = "wrong_organization"
    default_hint = "Correct the key or the account's `organization`, then `orchestrator release` the account."


class TrainingNotAllowed(AccountError):
    """The account may not create fine-tuning jobs."""

    kind: ClassVar[str] = "training_not_allowed"
    default_hint = (
        "Ask the account's owner for permission to train, or move the account to another provider; "
        "then `orchestrator release` the account."
    )


class QuotaExhausted(AccountError):
    """The account has no credit or quota left."""

    kind: ClassVar[str] = "quota_exhausted"
    default_hint = "Add credit or raise the limit at the provider, then `orchestrator release` the account."


class CertificateNotTrusted(AccountError):
    """The server's certificate cannot be verified: unknown authority, another host, or expired."""

    kind: ClassVar[str] = "certificate_not_trusted"
    default_hint = (
        "Save the authority's certificate in a file, set ORCHESTRATOR_CA_FILE to its path and restart; "
        "then `orchestrator release` the account."
    )


class ProxyRefused(AccountError):
    """The proxy between this machine and the provider refuses the connection."""

    kind: ClassVar[str] = "proxy_refused"
    default_hint = (
        "Correct the proxy's user and password, or ask its administrator to allow the provider's host; "
        "then `orchestrator release` the account."
    )


class UploadAddressRefused(AccountError):
    """The provider's upload address has no TLS, contains a password or is in a private network; it is not used."""

    kind: ClassVar[str] = "upload_address_refused"
    default_hint = (
        "Check the account's `base_url` and which server answers there, and report the address to the provider; "
        "then `orchestrator release` the account."
    )


class RequestRejected(ProviderError):
    """The provider rejects this request, and would reject it again."""

    kind: ClassVar[str] = "request_rejected"
    default_hint = "Correct the cause that the message names, then `orchestrator retry` the account."


class RemoteNotFound(RequestRejected):
    """The provider does not have the file or job, or no longer has it."""

    kind: ClassVar[str] = "remote_missing"
    default_hint = "Check in the provider's console what happened to it, then `orchestrator retry` the account."


class JobNameTaken(RequestRejected):
    """The provider refused the job because somebody else has used its name, and names cannot be freed."""

    kind: ClassVar[str] = "job_name_taken"
    default_hint = "Check the other job in the provider's console, then `orchestrator retry`: it uses another name."


class DeploymentNameTaken(RequestRejected):
    """The provider has a deployment with this name that is not ours. Nothing was sent."""

    kind: ClassVar[str] = "deployment_name_taken"
    default_hint = "Delete the other deployment in the provider's console, then request this one again."


class AmbiguousRemoteJob(OrchestratorError):
    """More than one remote job could belong to this job, and a wrong choice would cost money.

    `create_sent` is True if a create was sent just now: lists may not show its result before the intent has expired.
    """

    kind: ClassVar[str] = "ambiguous"
    default_hint = "Compare the remote jobs in the provider's console and select one with `orchestrator adopt`."

    def __init__(self, message: str, *, hint: str = "", create_sent: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.create_sent = create_sent


class UploadSizeMismatch(OrchestratorError):
    """The provider reports another file size than was sent."""

    kind: ClassVar[str] = "upload_differs"
    default_hint = (
        "Check the file in the provider's console: training on a damaged file costs as much as on a correct one. "
        "`orchestrator release` the account to use the file as it is, or `orchestrator cancel` the job."
    )


class IllegalTransition(OrchestratorError):
    """A bug of the program: this event cannot happen in this state. Nothing was changed."""

    kind: ClassVar[str] = "illegal_transition"
    default_hint = "Please report it with the output of `orchestrator history` for the account."


class StaleJob(OrchestratorError):
    """Another replica or an operator changed the job meanwhile; the outcome of this step is discarded."""

    kind: ClassVar[str] = "stale_job"


NETWORK_HOLD_KINDS = frozenset({CertificateNotTrusted.kind, ProxyRefused.kind})
"""Kinds of account holds that are caused by this machine's configuration: a restart releases them and tries again."""


class Failure(Struct, frozen=True):
    """The part of an error that is stored and shown."""

    kind: str  # the error's `kind`
    message: str  # what went wrong, and where
    hint: str  # the operator's next step
    request_id: str | None = None  # the provider's id of the failed request, for its support

    @classmethod
    def from_error(cls, error: OrchestratorError) -> Failure:
        """Build the failure of an error."""
        return cls(error.kind, error.message, error.hint, getattr(error, "request_id", None))

    def redacted(self, redact: Redactor) -> Failure:
        """Return a copy without keys in message and hint, for the database. The message is cut to 500 characters.

        A hint may name ids of the provider, so it needs the same care as the message.
        """
        message = redact.truncate(self.message, MAX_MESSAGE_LENGTH)
        return replace(self, message=remove_unstorable(message), hint=remove_unstorable(redact(self.hint)))


def remove_unstorable(text: str) -> str:
    """Return the text in a form that PostgreSQL can store.

    A provider may return any text: a lone surrogate cannot be encoded, and a NUL cannot be stored.
    """
    return text.encode(errors="replace").decode().replace("\0", "")


def list_error_kinds(base: type[OrchestratorError] = OrchestratorError) -> list[tuple[str, str, str]]:
    """List kind, meaning and next step of each error of this module, in the order of the tree."""
    kinds: list[tuple[str, str, str]] = []
    for each in base.__subclasses__():
        if each.__module__ == __name__:
            meaning = " ".join((each.__doc__ or "").split("\n\n")[0].split()).removesuffix(".")
            kinds += [(each.kind, meaning, each.default_hint), *list_error_kinds(each)]
    return kinds
