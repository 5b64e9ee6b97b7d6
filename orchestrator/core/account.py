"""Accounts: named credentials at a provider, in one organisation and project."""

from __future__ import annotations

from enum import StrEnum

from orchestrator.core.errors import WrongOrganization
from orchestrator.core.structs import Struct


class ProviderName(StrEnum):
    """A supported fine-tuning service, under its name in the accounts file."""

    # The values are stored: do not change them.

    OPENAI = "openai"
    AZURE = "azure"
    NEBIUS = "nebius"
    OPENAI_COMPATIBLE = "openai-compatible"
    TOGETHER = "together"
    FIREWORKS = "fireworks"
    DASHSCOPE = "dashscope"
    BEDROCK_MANTLE = "bedrock-mantle"
    VERTEX = "vertex"
    BEDROCK = "bedrock"


class BudgetPeriod(StrEnum):
    """Which jobs of an account count towards its `budget_usd`. A month is a calendar month, UTC."""

    TOTAL = "total"
    MONTH = "month"
    RUN = "run"


class HyperparameterFormat(StrEnum):
    """Where a create request has its hyperparameters: in `method`, outside of it as OpenAI once had them, or both."""

    METHOD = "method"
    FLAT = "flat"
    BOTH = "both"


class Account(Struct, frozen=True, kw_only=True):
    """One `[[accounts]]` entry of the accounts file. It holds references to secrets, never a key."""

    name: str
    provider: ProviderName
    api_key: str  # reference: `env:NAME`, `file:PATH` or `cmd:COMMAND`
    organization: str | None = None  # the key must belong to it, if given
    project: str | None = None  # likewise
    base_url: str | None = None  # None: the usual address of the provider
    webhook_secret: str | None = None  # reference; the secret that verifies the provider's webhooks
    budget_usd: float | None = None  # None: no limit
    budget_period: BudgetPeriod = BudgetPeriod.TOTAL
    max_running_jobs: int = 3  # job slots
    send_auto: bool = True  # openai-compatible only: whether the server understands "auto" as a hyperparameter
    suffix_length: int | None = None  # openai-compatible only: maximum suffix length; 0: none, None: the usual one
    suffix_required: bool = False  # openai-compatible only: whether the server refuses a job without a suffix
    file_per_job: bool = False  # openai-compatible only: each job is found again by a training file of its own
    hyperparameter_format: HyperparameterFormat = HyperparameterFormat.METHOD  # openai-compatible only
    labels: tuple[str, ...] = ()  # for filters
    proxy: str | None = None  # address without password, reference, or DIRECT_KEYWORDS; None: the environment's proxy
    region: str | None = None  # where the provider trains; part of its address
    bucket: str | None = None  # for the training files, where the provider reads them from a bucket
    role_arn: str | None = None  # the role with which AWS reads the bucket during a training
    storage_url: str | None = None  # address of the bucket's storage; None: the usual one
    management_key: str | None = None  # azure only: reference to the token that creates and removes deployments
    subscription_id: str | None = None  # azure only: the subscription of the resource
    resource_group: str | None = None  # azure only: the resource group of the resource
    resource: str | None = None  # azure only: the name of the resource that trained the models
    management_url: str | None = None  # azure only: address of the resource manager; None: the usual one
    management_api_version: str | None = None  # azure only: of the resource manager; None: the usual one
    allow_http: bool = False  # permits a `base_url` with http:// in a private network


class AccountIdentity(Struct, frozen=True):
    """The owner of a key, as the provider reports it. A field is None if the provider does not report it."""

    organization: str | None = None
    project: str | None = None

    def check(self, account: Account) -> None:
        """Raise WrongOrganization if the key belongs elsewhere than the accounts file states."""
        for what, expected, actual in (
            ("organisation", account.organization, self.organization),
            ("project", account.project, self.project),
        ):
            if expected and actual and expected != actual:
                raise WrongOrganization(
                    f"the key belongs to {what} {actual}, not to {expected}", account=account.name
                )
