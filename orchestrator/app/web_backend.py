"""The web server's backend: implements `WebBackend` with the database, the service and the metrics.

The `web` package imports neither the database nor the service. It receives a function for everything it needs.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from structlog.stdlib import BoundLogger

from orchestrator import control, status
from orchestrator.app.deployment_prices import DeploymentPriceFinder
from orchestrator.app.probe_reader import ProbeReader
from orchestrator.app.webhook_receiver import WebhookReceiver
from orchestrator.control.deployment_plan import FindDeploymentPrice, GetDeploymentTables
from orchestrator.core.access_token import ENVIRONMENT_TOKEN_NAME, AccessToken, Role, hash_token
from orchestrator.core.account import Account
from orchestrator.core.clock import Clock
from orchestrator.core.errors import ConfigError, DatabaseUnavailable
from orchestrator.core.plans.price import Price
from orchestrator.core.secret import Redactor, Secret
from orchestrator.daemon.service import Service
from orchestrator.daemon.webhook_handler import WebhookHandler
from orchestrator.inputs.prices import PriceList, load_prices
from orchestrator.settings import Settings
from orchestrator.status import Health
from orchestrator.store.db.database import Database

if TYPE_CHECKING:
    from orchestrator.metrics import MetricsRecorder
    from orchestrator.web.backend import AskModels, PlanComparison, WebBackend

MAX_TICK_SILENCE_SECONDS = 30.0  # after it /readyz answers 503: ticks come every second
P = ParamSpec("P")
T = TypeVar("T")


class AppWebBackend:
    """Builds the backend of one process."""

    def __init__(
        self,
        database: Database,
        settings: Settings,
        service: Service,
        webhook_receiver: WebhookReceiver,
        clock: Clock,
        log: BoundLogger,
        metrics: MetricsRecorder,
        get_listed_accounts: Callable[[], Mapping[str, Account]] = dict,
        *,
        get_deployment_tables: GetDeploymentTables = lambda _run: {},
        find_deployment_price: FindDeploymentPrice | None = None,
        plan_comparison: PlanComparison | None = None,
        ask_models: AskModels | None = None,
    ) -> None:
        self._database = database
        self._shared_reads = status.SharedReads()
        self._environment_tokens = list_environment_tokens(settings)
        self._prices_file = settings.prices_file
        self._prices: PriceList | None = None
        self._session_secret = settings.token or settings.read_token
        self._service = service
        self._webhook_receiver = webhook_receiver
        self._webhook_handler = WebhookHandler(
            wake_dispatch=service.wake, now=clock.now, min_poll_seconds=settings.poll_min_seconds, log=log
        )
        self._metrics = metrics
        self._get_listed_accounts = get_listed_accounts
        self._get_deployment_tables = get_deployment_tables
        self._find_deployment_price = find_deployment_price or DeploymentPriceFinder({}, clock.boottime).find_price
        self._plan_comparison = plan_comparison
        self._ask_models = ask_models
        self._clock = clock
        self._dataset_folder = settings.data_dir / "datasets"

    def build(self, stopping: asyncio.Event, *, max_event_streams: int = 200) -> WebBackend:
        """Build the backend. `stopping` ends event streams, of which at most `max_event_streams` are open."""
        from orchestrator.dataset.browse.example_library import ExampleLibrary
        from orchestrator.web.backend import WebBackend

        return WebBackend(
            now=self._clock.now,
            boottime=self._clock.boottime,
            call_with_database=self.call_with_database,
            check_health=self.get_health,
            render_metrics=self._metrics.render,
            list_tokens=self.list_tokens,
            record_token_use=self.record_token_use,
            session_key=self.derive_session_key(),
            receive_webhook=self.receive_webhook,
            get_accounts=self._get_listed_accounts,
            find_price=self.find_price,
            get_deployment_tables=self._get_deployment_tables,
            find_deployment_price=self._find_deployment_price,
            plan_comparison=self._plan_comparison,
            ask_models=self._ask_models,
            find_probes=ProbeReader(self._database, self._dataset_folder).find_probes,
            example_library=ExampleLibrary(self._dataset_folder, self._clock.boottime),
            committed=self._database.committed,
            stopping=stopping,
            max_event_streams=max_event_streams,
        )

    async def call_with_database(
        self, function: Callable[Concatenate[Database, P], Awaitable[T]], /, *arguments: P.args, **options: P.kwargs
    ) -> T:
        """Call a function with the database; equal reads of many clients share a result.

        Raises DatabaseUnavailable without details.
        """
        try:
            return await self._shared_reads.call(function, self._database, *arguments, **options)
        except DatabaseUnavailable as error:  # its message has addresses that not every API client may know
            raise DatabaseUnavailable("the database is not reachable") from error

    async def get_health(self) -> Health:
        """Return whether the process is able to work and, if not, the reason."""
        silence = self._service.seconds_since_tick
        reachable = await self._database.is_reachable()
        reason = self._database.outage.summary if not reachable else _describe_silence(silence)
        return Health(
            database=reachable,
            ticking=_describe_silence(silence) is None,
            problem=problem.failure if (problem := self._service.problem) else None,
            reason=reason,
        )

    def find_price(self, provider: str, base_model: str) -> Price | None:
        """Return the price by the price file, which is read once. Planning reports a file that cannot be read."""
        if self._prices is None:
            try:
                self._prices = load_prices(self._prices_file)
            except ConfigError:
                self._prices = PriceList({})
        return self._prices.find(provider, base_model)

    async def list_tokens(self) -> Sequence[AccessToken]:
        """Return the tokens of the settings and of the database."""
        return [*self._environment_tokens, *await self.call_with_database(status.list_tokens)]

    async def record_token_use(self, token: AccessToken) -> None:
        """Store the time of use. An unreachable database is ignored, so that it does not prevent the login."""
        if token in self._environment_tokens:
            return
        with suppress(DatabaseUnavailable):
            await control.record_token_use(self._database, token.name, now=self._clock.now())

    def derive_session_key(self) -> bytes:
        """Return the key that signs browser sessions.

        With a token in the settings it is derived from it, so that sessions survive a restart and are valid at every
        replica. Otherwise it is random.
        """
        secret = self._session_secret.get_secret_value().encode() if self._session_secret else secrets.token_bytes()
        return sha256(b"orchestrator sessions " + secret).digest()

    async def receive_webhook(self, account: str, headers: Mapping[str, str], body: bytes) -> bool:
        """Verify and handle a webhook of a provider. Returns False if it is not genuine."""
        return await self.call_with_database(
            self._webhook_receiver.receive, self._webhook_handler, account, headers, body
        )


def _describe_silence(seconds: float | None) -> str | None:
    """Return why a service whose last tick was `seconds` ago is not ready, or None if it is ready."""
    if seconds is None:
        return "the service is starting or stopping"
    if 0 <= seconds < MAX_TICK_SILENCE_SECONDS:
        return None
    return f"the service has not ticked for {seconds:.0f} s"


def list_environment_tokens(settings: Settings) -> list[AccessToken]:
    """Return the tokens of the settings ORCHESTRATOR_TOKEN and ORCHESTRATOR_READ_TOKEN."""
    secret_by_role = {Role.OPERATOR: settings.token, Role.READER: settings.read_token}
    return [
        AccessToken(
            name=ENVIRONMENT_TOKEN_NAME,
            role=role,
            hash=hash_token(secret.get_secret_value().encode()),
            created_at=0.0,
            created_by=ENVIRONMENT_TOKEN_NAME,
        )
        for role, secret in secret_by_role.items()
        if secret is not None
    ]


def redact_environment_tokens(settings: Settings, redact: Redactor) -> None:
    """Redact the tokens of the settings in all log lines."""
    for secret in (settings.token, settings.read_token):
        if secret is not None:
            redact.add(
                Secret(secret.get_secret_value()), parts=False
            )  # chosen by people: parts of it may be ordinary words
