"""Statuses made by hand, and a client that asks the application about them without a port."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import httpx2
import msgspec
from fastapi import FastAPI
from web_application import create_app

from orchestrator.control.operator import ActionResult, ActionTarget, perform
from orchestrator.core.access_token import AccessToken, Role, hash_token
from orchestrator.core.account import Account
from orchestrator.core.errors import Failure
from orchestrator.core.jobs.job_filter import JobFilter
from orchestrator.core.jobs.operator_action import OperatorAction
from orchestrator.core.notifications.delivery import DeliveryStatus
from orchestrator.status import (
    CurrentRun,
    DeploymentListing,
    DeploymentTotals,
    EncodedStatus,
    Health,
    JobListing,
    JobView,
    ProblemGroup,
    RunOverview,
    RunView,
    StateCount,
    StatusCache,
    StatusSnapshot,
    count_deliveries,
    find_run_overview,
    list_current_runs,
    list_deployments,
    list_jobs,
    status_to_dict,
)
from orchestrator.web.backend import WebBackend
from orchestrator.web.dashboard.attention import needs_operator
from orchestrator.web.dashboard.state_display import displayed_state

NOW = 1_790_000_000.0
HEALTHY = Health(database=True, ticking=True)
UNKNOWN_FAILURE = Failure("unknown", "no reason was recorded", "")
REFUSED = Failure("training_not_allowed", "the key may not train", "Ask for `train`.")


def job(account: str, state: str, **values: Any) -> JobView:
    known: dict[str, Any] = dict.fromkeys(JobView.__struct_fields__)
    known |= {
        "provider": "openai",
        "base_model": "gpt-4.1-mini",
        "labels": [],
        "checkpoints": (),
        "job": f"job-{account}",
        "held": False,
        "attempts": 0,
        "round": 0,
        "hyperparameters": {},
        "created_at": NOW - 600,
        "state_since": NOW - 120,
        "changed_at": NOW - 120,
    }
    return JobView(**known | {"account": account, "state": state} | values)


def ready(account: str, **values: Any) -> JobView:
    model = f"ft:gpt-4.1-mini:{account}"
    known = {"fine_tuned_model": model, "servable": True, "progress": 1.0, "submitted_at": NOW}
    return job(account, "succeeded", **known | values)


def run(**values: Any) -> RunView:
    known: dict[str, Any] = {
        "id": "run-1",
        "name": "support-tone",
        "dataset_sha256": "ab" * 32,
        "examples": 12,
        "tokens": 3456,
        "specs": {"openai": {"base_model": "gpt-4.1-mini", "method": "supervised", "n_epochs": 3}},
        "started": True,
        "approved_by": None,
        "planned_usd": 3.1,
        "holds": [],
        "moderation": {},
        "created_at": NOW - 600,
    }
    return RunView(**known | values)


def status(*jobs: JobView, **values: Any) -> StatusSnapshot:
    counts = Counter("held" if each.held else each.state for each in jobs)
    return StatusSnapshot(run=run(**values), jobs=jobs, counts=dict(counts))


def token(name: str, text: str, role: Role = Role.OPERATOR, **values: Any) -> AccessToken:
    known: dict[str, Any] = {"created_at": NOW - 900, "created_by": "operator:me"}
    return AccessToken(name=name, role=role, hash=hash_token(text.encode()), **known | values)


def glance_of(shown: StatusSnapshot) -> RunOverview | None:
    """What the database would count and sum of these jobs."""
    if shown.run is None:
        return None
    jobs: dict[tuple[str, str], list[JobView]] = defaultdict(list)
    needy: dict[tuple[str, str], list[JobView]] = defaultdict(list)
    for each in shown.jobs:
        jobs[each.provider, displayed_state(each)].append(each)
        if needs_operator(each, shown.run):
            error = each.error or UNKNOWN_FAILURE
            needy[error.kind, error.hint].append(each)
    return RunOverview(
        run=shown.run,
        current=True,
        state_counts=tuple(_share(*key, of_key) for key, of_key in jobs.items()),
        problem_groups=tuple(_cause(alike) for alike in sorted(needy.values(), key=len, reverse=True)),
        labels=tuple(sorted({label for each in shown.jobs for label in each.labels})),
        warnings=tuple(
            ProblemGroup(error=each.warning, held=False, count=1, message_count=1, accounts=(each.account,))
            for each in shown.jobs
            if each.warning
        ),
    )


def listing_of(shown: StatusSnapshot, selection: JobFilter, limit: int = 50, skip: int = 0) -> JobListing | None:
    """A page of these jobs: what a text finds is the database's affair, and only names here."""
    if shown.run is None:
        return None
    anywhere = [job for job in shown.jobs if selection.text in job.account]
    anywhere = [job for job in anywhere if not selection.accounts or job.account in selection.accounts]
    matches = [job for job in anywhere if selection.state in {"", job.state} and selection.held in {None, job.held}]
    counts = dict(Counter(displayed_state(job) for job in anywhere))
    page = tuple(matches[skip : skip + limit])
    return JobListing(run=shown.run, jobs=page, total=len(matches), counts=counts, next=None)


def select_run(shown: StatusSnapshot, selected: str | None) -> StatusSnapshot:
    """The run with this name or id if there are several; the first of them without."""
    if not shown.other_runs:
        return shown
    parts = [part for part in shown.split_by_run() if part.run and selected in {None, part.run.id, part.run.name}]
    return parts[0] if parts else StatusSnapshot(run=None)


def list_current_of(shown: StatusSnapshot) -> tuple[CurrentRun, ...]:
    return tuple(CurrentRun(id=each.id, name=each.name, dataset_sha256=each.dataset_sha256) for each in shown.runs)


def _share(provider: str, state: str, jobs: Sequence[JobView]) -> StateCount:
    sent = [job.estimated_usd for job in jobs if job.submitted_at is not None]
    return StateCount(
        provider=provider,
        state=state,
        count=len(jobs),
        usd=sum(job.estimated_usd or 0 for job in jobs),
        submitted_usd=sum(usd or 0 for usd in sent),
        unknown=sent.count(None),
        unpriced=sum(job.estimated_usd is None for job in jobs),
        lasted=None,
        last_submitted=None,
        estimated_finish=None,
    )


def _cause(jobs: Sequence[JobView]) -> ProblemGroup:
    return ProblemGroup(
        error=jobs[0].error or UNKNOWN_FAILURE,
        held=jobs[0].held,
        count=len(jobs),
        message_count=len({job.error.message for job in jobs if job.error}),
        accounts=tuple(job.account for job in jobs[:5]),
    )


class WebServiceDouble:
    """Stands in for the rest of the program. A test sets `status`, `health`, `tokens` and `now`."""

    def __init__(self, *jobs: JobView, token: str | None = None, read_token: str | None = None) -> None:
        self.status: StatusSnapshot | Exception = status(*jobs)
        self.health = HEALTHY
        self.now = NOW
        self.set_by = 0.0  # how much the wall clock was set by
        self.tokens: list[AccessToken] | Exception = environment(token, read_token)
        self.used_tokens: list[str] = []
        self.answers: dict[Any, Any] = {}
        """What functions of `status` return or raise, and by action what `control.perform` does; None by default."""
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self.received_webhooks: list[tuple[str, bytes]] = []
        self.accounts: dict[str, Account] = {}
        self._app: FastAPI | None = None

    async def _get_status(self) -> StatusSnapshot:
        if isinstance(self.status, Exception):
            raise self.status
        return self.status

    async def _get_health(self) -> Health:
        return self.health

    async def _tokens(self) -> Sequence[AccessToken]:
        if isinstance(self.tokens, Exception):
            raise self.tokens
        return self.tokens

    async def _record_use(self, token: AccessToken) -> None:
        self.used_tokens.append(token.name)

    async def _call(self, ask: Callable[..., Any], /, *arguments: Any, **options: Any) -> Any:
        if getattr(ask, "__func__", None) is StatusCache.read:
            return encode_status(await self._get_status(), problem=arguments[0], run=arguments[2])
        if ask is find_run_overview and find_run_overview not in self.answers:
            return glance_of(select_run(await self._get_status(), options.get("run_id")))
        if ask is list_jobs:
            shown = select_run(await self._get_status(), options.get("run_id"))
            return listing_of(shown, arguments[0], options["limit"], options.get("skip", 0))
        if ask is list_current_runs:
            return list_current_of(await self._get_status())
        if ask is list_deployments and list_deployments not in self.answers:
            return DeploymentListing(deployments=(), counts={}, totals=DeploymentTotals())
        if ask is count_deliveries and count_deliveries not in self.answers:
            return dict.fromkeys(DeliveryStatus, 0)
        answer = self._action_result(*arguments) if ask is perform else self.answers.get(ask)
        if isinstance(answer, Exception):
            raise answer
        if ask.__module__.startswith("orchestrator.control"):
            self.calls.append((ask.__name__, arguments, options))
        return answer

    def _action_result(self, action: OperatorAction, target: ActionTarget) -> Any:
        """What `control.perform` returns: the answer of the action, else that it changed the whole selection."""
        return self.answers.get(action) or ActionResult(action=action, accounts=tuple(target.accounts or ()))

    async def _receive_webhook(self, account: str, headers: Mapping[str, str], body: bytes) -> bool:
        self.received_webhooks.append((account, body))
        return headers.get("webhook-signature") == "good"

    def program(self, call: Any = None) -> WebBackend:
        return WebBackend(
            now=lambda: self.now + self.set_by,
            boottime=lambda: self.now,
            call_with_database=call or self._call,
            check_health=self._get_health,
            render_metrics=repr_of,
            list_tokens=self._tokens,
            record_token_use=self._record_use,
            session_key=b"of the tests",
            receive_webhook=self._receive_webhook,
            get_accounts=lambda: self.accounts,
        )

    def client(self, origin: str = "http://127.0.0.1:8080", **headers: str) -> httpx2.AsyncClient:
        self._app = self._app or create_app(self.program())
        transport = httpx2.ASGITransport(app=self._app, raise_app_exceptions=False)
        return httpx2.AsyncClient(transport=transport, base_url=origin, headers=headers)


def encode_status(shown: StatusSnapshot, problem: Failure | None, run: str | None) -> EncodedStatus | None:
    """The document of all runs, or of the run with this name."""
    parts = [shown] if run is None else [each for each in shown.split_by_run() if each.run and each.run.name == run]
    return EncodedStatus(msgspec.json.encode(status_to_dict(parts[0]) | {"problem": problem})) if parts else None


def repr_of(tally: Any) -> bytes:
    return repr(tally).encode()


def environment(operator: str | None, reader: str | None) -> list[AccessToken]:
    """The tokens of the settings."""
    texts = {Role.OPERATOR: operator, Role.READER: reader}
    return [token("environment", text, role) for role, text in texts.items() if text]
