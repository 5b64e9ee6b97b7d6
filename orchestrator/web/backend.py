"""The interface through which the web package uses the rest of the program. `orchestrator.app` creates it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from orchestrator.control.comparisons import PlannedComparison
from orchestrator.control.deployment_plan import FindDeploymentPrice, GetDeploymentTables
from orchestrator.core.access_token import AccessToken
from orchestrator.core.account import Account
from orchestrator.core.comparison.comparison import Comparison
from orchestrator.core.comparison.model_reply import ModelReply
from orchestrator.core.comparison.probe import Probe
from orchestrator.core.deployment.cost import DeploymentPrice
from orchestrator.core.deployment.deployment_spec import DeploymentSpec
from orchestrator.core.deployment.spec_choice import find_option_price
from orchestrator.core.inference import ChatQuestion
from orchestrator.core.plans.price import Price
from orchestrator.core.structs import Struct, field
from orchestrator.dataset.browse.example_library import ExampleLibrary
from orchestrator.status import Health, MetricsSnapshot

P = ParamSpec("P")
T = TypeVar("T")


class DatabaseCaller(Protocol):
    """Calls a function of `status` or `control` with the database as its first argument."""

    async def __call__(
        self, function: Callable[Concatenate[Any, P], Awaitable[T]], /, *arguments: P.args, **options: P.kwargs
    ) -> T: ...


async def _find_unknown_price(_account: str, _base_model: str, spec: DeploymentSpec) -> DeploymentPrice:
    return find_option_price(spec, ())


PlanComparison = Callable[[str | None, Mapping[str, Any]], Awaitable[PlannedComparison]]
"""Plans the comparison of a run by its name or id, with options of ComparisonSettings. Raises ConfigError."""


async def _find_no_probes(_comparison: Comparison) -> Mapping[str, Probe]:
    return {}


AskModels = Callable[
    [str | None, Collection[str] | None, ChatQuestion, float | None, str], Awaitable[Sequence[ModelReply]]
]
"""Called with run, accounts (None: all), question, limit in US dollars and actor. Raises ConfigError."""
WebhookCallback = Callable[[str, Mapping[str, str], bytes], Awaitable[bool]]
"""Called with account, headers (names in lower case) and body of a webhook; returns False if it is not authentic."""


class WebBackend(Struct, frozen=True, kw_only=True):
    """All functions and values that the web package may use. It has no database and no clock of its own."""

    now: Callable[[], float]
    """Current Unix time in seconds."""
    boottime: Callable[[], float]
    """Seconds on a monotonic clock; unlike `now` it never jumps when the system time is set."""
    call_with_database: DatabaseCaller
    """Calls a function of `status` or `control` with the database."""
    check_health: Callable[[], Awaitable[Health]]
    """Returns whether the database is reachable and the scheduler is running."""
    render_metrics: Callable[[MetricsSnapshot], bytes]
    """Renders the metrics page in the Prometheus text format."""
    list_tokens: Callable[[], Awaitable[Sequence[AccessToken]]]
    """Returns all access tokens, revoked ones included, and those of the settings."""
    record_token_use: Callable[[AccessToken], Awaitable[None]]
    """Stores when a token was last used."""
    session_key: bytes
    """HMAC key of sessions and CSRF tokens."""
    receive_webhook: WebhookCallback
    """Verifies a provider webhook and wakes the job it names."""
    get_accounts: Callable[[], Mapping[str, Account]] = dict
    """Returns the accounts of the accounts file in use by name, without their keys."""
    find_price: Callable[[str, str], Price | None] = lambda _provider, _base_model: None
    """Returns the price of a base model at a provider by the price file; None if it is unknown."""
    get_deployment_tables: GetDeploymentTables = lambda _run: {}
    """Returns the tables `[run.PROVIDER.deployment]` of the run with this name, of the accounts file in use."""
    find_deployment_price: FindDeploymentPrice = _find_unknown_price
    """Asks the provider for the price of a deployment."""
    plan_comparison: PlanComparison | None = None
    """Plans a comparison of models; None if this process does not ask them."""
    ask_models: AskModels | None = None
    """Asks models one question; None if this process asks none."""
    find_probes: Callable[[Comparison], Awaitable[Mapping[str, Probe]]] = _find_no_probes
    """Returns the probes of a comparison by id; none if the files of its dataset are not on this machine."""
    example_library: ExampleLibrary | None = None
    """Reads the datasets of this machine; None if they cannot be shown."""
    committed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set after each database commit of this process; the waiter clears it."""
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the process shuts down; event streams end then."""
    max_event_streams: int = 200
    """Maximum number of concurrent event streams of this process; each holds a connection for as long as it lasts."""
