"""A dashboard on a free port over a database of its own, whose run a test changes as it goes on."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import partial
from math import exp
from pathlib import Path
from typing import Any

from compared_run import ComparedRun
from sqlalchemy import delete, insert

from orchestrator import status
from orchestrator.control.comparisons import PlannedComparison
from orchestrator.core.access_token import AccessToken, Role, hash_token
from orchestrator.core.account import Account, ProviderName
from orchestrator.core.account_state import AccountState
from orchestrator.core.comparison.comparison import Comparison, ComparisonState
from orchestrator.core.comparison.model_reply import ModelReply
from orchestrator.core.comparison.probe import Probe
from orchestrator.core.dataset import Dataset, DatasetPart
from orchestrator.core.deployment.cost import DeploymentPrice
from orchestrator.core.deployment.deployment_spec import DeploymentSpec
from orchestrator.core.errors import ConfigError, Failure
from orchestrator.core.hold import Hold
from orchestrator.core.inference import ChatQuestion
from orchestrator.core.jobs.job import Job, JobId, RunId
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.jobs.loss import Loss
from orchestrator.core.jobs.run import Run
from orchestrator.core.jobs.transitions import Outcome
from orchestrator.core.moderation import Moderation, ModerationStatus
from orchestrator.core.notifications.delivery import Delivery, DeliveryStatus
from orchestrator.core.spec import TrainingSpec
from orchestrator.core.structs import replace
from orchestrator.dataset.browse.example_library import ExampleLibrary
from orchestrator.status import Health
from orchestrator.store.db.database import Database
from orchestrator.store.db.transaction import EventData, Transaction
from orchestrator.store.queries import jobs, losses, outcomes, runs
from orchestrator.store.queries.comparisons import comparison_records
from orchestrator.store.schema.mapping import account_state_to_row
from orchestrator.store.schema.tables import accounts as account_table
from orchestrator.store.schema.tables import deliveries, metadata
from orchestrator.web.app import create_app
from orchestrator.web.backend import WebBackend
from orchestrator.web.server import WebServer

NOW = time.time()  # noqa: TID251 - the browser's clock, by which a session's cookie ends
SPEC = TrainingSpec(base_model="sandbox-small", n_epochs=3, seed=42, suffix="support")
TRAINING = DatasetPart(
    path=Path("x.jsonl"), sha256="9f2b41c7d05e8a36" * 4, bytes=412_000, examples=240, tokens=51_234
)
RUN = Run(
    id=RunId("run-1"),
    name="support-tone",
    dataset_sha256=TRAINING.sha256,
    specs={ProviderName.OPENAI: SPEC},
    created_at=NOW - 1800,
    started_at=NOW - 1800,
    planned_usd=3.1,
    moderation=Moderation(state=ModerationStatus.PASSED, by="acme-eu", at=NOW - 1790, texts=512),
)
NOT_ALLOWED_FAILURE = Failure(
    "training_not_allowed",
    "You are not allowed to create fine-tuning jobs in project proj_7Hc0.",
    "Ask the account's owner for permission to train; then `orchestrator release` it.",
)
PERMISSION_HOLD = Hold(NOT_ALLOWED_FAILURE.kind, NOT_ALLOWED_FAILURE.message, NOT_ALLOWED_FAILURE.hint)


class ServedDashboard:
    """The service's web room over a database in `folder`, without the loop."""

    def __init__(self, folder: Path) -> None:
        self.time = NOW
        self.tokens: list[AccessToken] = []
        self.listed: dict[str, Account] = {}
        self.url = ""
        self.probes: Mapping[str, Probe] = {}
        self.planned: PlannedComparison | None = None
        self.replies: Sequence[ModelReply] = ()
        self.questions: list[tuple[Collection[str] | None, ChatQuestion, float | None, str]] = []
        self.deployment_prices: dict[str, float] = {}  # USD per hour by account; others are unknown
        self.datasets = folder / "datasets"
        self._database = Database(f"sqlite:///{folder / 'dashboard.db'}")
        self._port = 0
        self._server: WebServer | None = None
        self._app = create_app(
            WebBackend(
                now=lambda: self.time,
                boottime=lambda: self.time,
                call_with_database=self._call,
                check_health=self._get_health,
                render_metrics=lambda _: b"",
                list_tokens=self._list_tokens,
                record_token_use=_ignore_token_use,
                session_key=b"of the tests",
                receive_webhook=_refuse_webhook,
                get_accounts=lambda: self.listed,
                find_deployment_price=self._find_deployment_price,
                find_probes=self._find_probes,
                plan_comparison=self._plan_comparison,
                ask_models=self._ask_models,
                committed=self._database.committed,
                example_library=ExampleLibrary(self.datasets, lambda: self.time),
            )
        )

    async def __aenter__(self) -> ServedDashboard:
        await self._database.migrate()
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
        await self._database.close()

    async def start(self) -> None:
        """Serve; after a stop, on the same port."""
        self._server = WebServer(self._app, "127.0.0.1", self._port)
        self._port = await self._server.start()
        self.url = f"http://127.0.0.1:{self._port}"

    async def stop(self) -> None:
        if self._server:
            await self._server.stop()

    async def replace_run(
        self, run_jobs: Sequence[Job], standings: Sequence[AccountState] = (), run: Run | None = RUN
    ) -> None:
        """This run and nothing else, on a clock and behind a door as in the beginning."""
        self.time, self.tokens, self.listed, self.probes = NOW, [], {}, {}
        self.planned, self.replies, self.questions = None, (), []

        async def change(tx: Transaction) -> None:
            for table in reversed(metadata.sorted_tables):
                await tx.connection.execute(delete(table))
            if run is not None:
                await self._insert_run(tx, run_jobs, standings, run)

        await self._database.write(change)

    async def _insert_run(
        self, tx: Transaction, wanted: Sequence[Job], standings: Sequence[AccountState], run: Run
    ) -> None:
        await runs.save_dataset(tx, Dataset(training=TRAINING), NOW)
        await runs.save(tx, run)
        known = {standing.name: standing for standing in standings}
        rows = [account_state_to_row(known.get(name) or standing(name)) for name in {job.account for job in wanted}]
        await tx.connection.execute(insert(account_table), rows)
        await jobs.assign_to_run(tx, run.id, wanted)

    async def add_run(self, run: Run, run_jobs: Sequence[Job]) -> None:
        """Another current run over the same accounts."""

        async def add(tx: Transaction) -> None:
            await runs.save(tx, run)
            await jobs.assign_to_run(tx, run.id, run_jobs)

        await self._database.write(add)

    async def write(self, change: Callable[[Transaction], Awaitable[Any]]) -> None:
        """Change the database in one transaction."""
        await self._database.write(change)

    async def change_job(self, account: str, state: JobState | None = None, **values: Any) -> None:
        """One job is another one from now on, as if the loop had made it so."""

        async def change(tx: Transaction) -> None:
            [job] = await jobs.list_by_accounts(tx.connection, [account])
            values["state"] = state or job.state
            after = replace(job, version=job.version + 1, **values)
            outcome = Outcome(job=after, previous_state=job.state, label=f"now {after.state}")
            await outcomes.record(tx, outcome, at=self.time, cause="service")

        await self._database.write(change)

    async def add_dataset(self, dataset: Dataset, number: int) -> None:
        """A later run with another dataset."""

        async def add(tx: Transaction) -> None:
            await runs.save_dataset(tx, dataset, NOW)
            later: dict[str, Any] = {
                "id": RunId(f"run-{dataset.sha256[:8]}"),
                "created_at": NOW - 1700 + number,
                "planned_usd": 48.5,
            }
            await runs.save(tx, replace(RUN, dataset_sha256=dataset.sha256, **later))

        await self._database.write(add)

    async def add_events(self, account: str, *notes: str) -> None:
        """Lines of the account's history."""

        async def change(tx: Transaction) -> None:
            for number, note in enumerate(notes):
                entry = EventData(at=NOW - 600 + 60 * number, cause="service", note=note, account=account)
                tx.add_events(entry)

        await self._database.write(change)

    async def add_losses(self, *names: str, steps: int = 60) -> None:
        """Losses of these accounts' jobs."""
        for name in names:
            curve = [_loss(step, sum(map(ord, name)) % 7) for step in range(1, steps + 1)]
            job = JobId(name)
            await self._database.write(partial(losses.add, job_id=job, reported=curve))

    async def show_comparison(self, compared: ComparedRun) -> None:
        """A run with this comparison and nothing else."""
        models = {each.account: each.model for each in compared.comparison.models if not each.is_base}
        jobs = [
            succeeded_job(name, "", f"8Kq2vWmZr0aXcT4nYb{number:06}", fine_tuned_model=model)
            for number, (name, model) in enumerate(models.items())
        ]
        await self.replace_run(jobs, [standing(name, "eu") for name in models])
        self.probes = compared.probes
        ended = compared.comparison
        opened = replace(ended, state=ComparisonState.ASKING, result=None, finished_at=None, claimed_by="one")

        async def add(tx: Transaction) -> None:
            await comparison_records.add(tx, opened)
            for start in range(0, len(compared.answers), 500):
                batch = compared.answers[start : start + 500]
                await comparison_records.save_progress(tx, opened, batch, claimed_until=NOW)
            if ended.state is not ComparisonState.ASKING:
                await comparison_records.finish(tx, ended, at=NOW - 600, cause="operator:ada")

        await self._database.write(add)

    async def add_deliveries(self, *rows: dict[str, Any]) -> None:
        """Deliveries, whose other values are plain."""
        plain: dict[str, Any] = {
            "message": "msg_1",
            "target": "https://example.com/fine-tuning",
            "topic": "model.ready",
        }
        plain |= {"payload": {"data": {"account": "acme-eu"}}, "created_at": NOW - 400, "attempts": 1}
        ends = dict.fromkeys(("due_at", "delivered_at", "error"))
        wanted = [plain | ends | {"id": number} | row for number, row in enumerate(rows, start=1)]
        await self._database.write(lambda tx: tx.connection.execute(insert(deliveries), wanted))

    async def list_deliveries(self, fate: DeliveryStatus) -> Sequence[Delivery]:
        return await status.list_deliveries(self._database, fate)

    async def load_job(self, account: str) -> Job:
        async with self._database.read() as connection:
            [job] = await jobs.list_by_accounts(connection, [account])
        return job

    async def list_jobs(self, account: str) -> list[Job]:
        """The account's jobs in all runs."""
        async with self._database.read() as connection:
            return await jobs.list_by_accounts(connection, [account])

    async def load_run(self) -> Run:
        async with self._database.read() as connection:
            return await runs.get(connection, RUN.id)

    async def _call(self, ask: Callable[..., Awaitable[Any]], /, *arguments: Any, **options: Any) -> Any:
        return await ask(self._database, *arguments, **options)

    async def _find_deployment_price(
        self, account: str, base_model: str, spec: DeploymentSpec
    ) -> DeploymentPrice | None:
        return DeploymentPrice(kind=spec.kind, usd_per_hour=self.deployment_prices.get(account), source="price page")

    async def _plan_comparison(self, run: str | None, options: Mapping[str, Any]) -> PlannedComparison:
        if self.planned is None:
            raise ConfigError("the run has no held-out examples to send", hint="Set `validation_fraction`.")
        settings = replace(self.planned.comparison.settings, **options)
        return replace(self.planned, comparison=replace(self.planned.comparison, settings=settings))

    async def _ask_models(
        self,
        run: str | None,
        accounts: Collection[str] | None,
        question: ChatQuestion,
        max_usd: float | None,
        by: str,
    ) -> Sequence[ModelReply]:
        self.questions.append((accounts, question, max_usd, by))
        return [each for each in self.replies if accounts is None or each.model.account in accounts]

    async def _find_probes(self, _: Comparison) -> Mapping[str, Probe]:
        return self.probes

    async def _get_health(self) -> Health:
        return Health(database=True, ticking=True)

    async def _list_tokens(self) -> Sequence[AccessToken]:
        return self.tokens


async def _ignore_token_use(_: AccessToken) -> None:
    pass


async def _refuse_webhook(account: str, headers: Mapping[str, str], body: bytes) -> bool:
    return False


def token(name: str, text: str, role: Role = Role.OPERATOR) -> AccessToken:
    return AccessToken(name=name, role=role, hash=hash_token(text.encode()), created_at=NOW, created_by="operator:me")


def standing(name: str, *labels: str, **values: Any) -> AccountState:
    known: dict[str, Any] = {
        "provider": ProviderName.OPENAI,
        "definition": f"d-{name}",
        "key_fingerprint": "1f2e3d4c",
        "organization": "org-3kQ",
        "verified_at": NOW - 1700,
    }
    return AccountState(name=name, labels=labels, **known | values)


def job(account: str, state: JobState, **values: Any) -> Job:
    """A job whose other values are plain. Its id is its account's name."""
    known: dict[str, Any] = {
        "id": JobId(account),
        "run_id": RUN.id,
        "provider": ProviderName.OPENAI,
        "base_model": SPEC.base_model,
        "created_at": NOW - 1700,
        "state_since": NOW - 290,
        "estimated_usd": 0.62,
    }
    if state not in {JobState.PLANNED, JobState.UPLOADING, JobState.PROCESSING, JobState.READY}:
        known["submitted_at"] = NOW - 600
    return Job(account=account, state=state, **known | values)


def succeeded_job(account: str, model: str, remote: str, **values: Any) -> Job:
    """A job that succeeded."""
    known: dict[str, Any] = {
        "fine_tuned_model": f"ft:{SPEC.base_model}:{account}:support:{model}",
        "remote_job_id": f"ftjob-{remote}",
        "remote_file_id": f"file-{remote[:12]}",
        "servable": True,
        "trained_tokens": 153_702,
        "hyperparameters": {"n_epochs": 3, "batch_size": 1, "learning_rate_multiplier": 2.0},
        "finished_at": NOW - 290,
    }
    return job(account, JobState.SUCCEEDED, **known | values)


FIVE_STANDINGS = (
    standing("acme-eu", "eu"),
    standing("acme-us", "us"),
    standing("globex", "eu"),
    standing("initech", "us"),
    standing("umbrella", "apac", hold=PERMISSION_HOLD),
)


def five_jobs() -> list[Job]:
    """A run on its way: two models, one in training, one file being checked, one account that needs someone."""
    return [
        succeeded_job("acme-eu", "CZk4QpX1", "8Kq2vWmZr0aXcT4nYb71LpDs"),
        succeeded_job("acme-us", "CZk51mRu", "Qm81LsTzE6uJvHk0cNdRw3Gy"),
        job("globex", JobState.RUNNING, remote_job_id="ftjob-3nVbYt7PqLs9WxJz2RfKd0Ha", progress=0.46),
        job("initech", JobState.PROCESSING, remote_file_id="file-X2"),
        job("umbrella", JobState.PLANNED),
    ]


def _loss(step: int, number: int) -> Loss:
    training = 0.35 + 1.6 * exp(-step / (12 + 3 * number)) + 0.04 * ((step * 37 + number * 11) % 7) / 7
    return Loss(step, round(training, 4), round(training + 0.1, 4) if step % 10 == 0 else None)
