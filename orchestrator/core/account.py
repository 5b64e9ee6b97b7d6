"""Account: a named credential at a provider, in one organisation and project. A reference, never a key."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from orchestrator.core.errors import WrongOrganization


class ProviderName(StrEnum):
    """The services that train."""

    OPENAI = "openai"
    AZURE = "azure"
    NEBIUS = "nebius"
    OPENAI_COMPATIBLE = "openai-compatible"
    TOGETHER = "together"
    FIREWORKS = "fireworks"


class BudgetPeriod(StrEnum):
    """Which of an account's jobs are added up against its `budget_usd`."""

    TOTAL = "total"
    MONTH = "month"
    RUN = "run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One `[[accounts]]` entry. `api_key` and `webhook_secret` are `env:NAME`, `file:PATH` or `cmd:COMMAND`.

    `proxy` is an address without a password, such a reference, or one of `core.proxy.DIRECT`; None: by the
    environment. `allow_http` permits a `base_url` with http:// in a private network.

    `send_auto` and `suffix_length` describe a server of the operator's own: whether it understands the word "auto" as
    a hyperparameter, and how many characters a suffix may have there (0: it takes none, None: what is usual).
    """

    name: str
    provider: ProviderName
    api_key: str
    organization: str | None = None
    project: str | None = None
    base_url: str | None = None
    webhook_secret: str | None = None
    budget_usd: float | None = None
    budget_period: BudgetPeriod = BudgetPeriod.TOTAL
    max_running_jobs: int = 3
    send_auto: bool = True
    suffix_length: int | None = None
    labels: tuple[str, ...] = ()
    proxy: str | None = None
    allow_http: bool = False


@dataclass(frozen=True, slots=True)
class AccountIdentity:
    """Who a key turned out to be. A field is None where the provider does not say."""

    organization: str | None = None
    project: str | None = None

    def check(self, account: Account) -> None:
        """Raise `WrongOrganization` when the key belongs elsewhere than the accounts file says."""
        for what, wanted, found in (
            ("organisation", account.organization, self.organization),
            ("project", account.project, self.project),
        ):
            if wanted and found and wanted != found:
                raise WrongOrganization(f"the key belongs to {what} {found}, not to {wanted}", account=account.name)
