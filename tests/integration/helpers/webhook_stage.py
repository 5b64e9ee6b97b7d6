"""A stage for webhooks: the real door, rules, loop, database and provider client, and a sandbox at the other end.

Time moves only by hand, except in signatures: the SDK reads the machine's own clock.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, cast

import httpx2
from model_world import ManualClock, StrictLog
from sqlalchemy import delete, select
from standardwebhooks import Webhook as Signer
from store_values import DATASET, RUN, a_job, a_standing
from web_application import create_app

from orchestrator.app import SystemClock
from orchestrator.app.webhook_receiver import WebhookReceiver
from orchestrator.core.account import Account, AccountIdentity, ProviderName
from orchestrator.core.jobs.job import Job
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.secret import Redactor, Secret
from orchestrator.core.structs import Struct
from orchestrator.daemon.job_loader import build_job_loader
from orchestrator.daemon.provider_steps import StepTiming
from orchestrator.daemon.reconciler_factory import build_reconciler
from orchestrator.daemon.webhook_handler import WebhookHandler
from orchestrator.providers.base import ProviderConnection
from orchestrator.providers.http.client import HttpClient
from orchestrator.providers.openai import openai_provider
from orchestrator.providers.openai.webhooks import build_webhook_parser
from orchestrator.sandbox import SandboxSettings
from orchestrator.sandbox import create_app as create_sandbox
from orchestrator.store.db.database import Database
from orchestrator.store.db.transaction import Transaction
from orchestrator.store.queries import accounts, jobs, runs
from orchestrator.store.schema.tables import events, metadata, webhooks
from orchestrator.store.schema.tables import jobs as job_table
from orchestrator.web.backend import WebBackend

POLL_MAX = 60.0
PACE = StepTiming(poll_min_seconds=2.0, poll_max_seconds=POLL_MAX, intent_seconds=30.0)
NAMES = ("acme", "blue")
TRAINING_SECONDS = 1000.0
LINES = "".join(
    json.dumps({"messages": [{"role": "user", "content": f"{n}?"}, {"role": "assistant", "content": "Yes."}]}) + "\n"
    for n in range(12)
)


def signing_secret(text: str) -> Secret:
    return Secret("whsec_" + b64encode(f"{text} and some bytes more".encode()).decode())


SECRETS = {name: signing_secret(name) for name in NAMES}


class Request(Struct):
    """A webhook on its way; what is left as it is makes a genuine one."""

    account: str
    remote_job: str
    id: str = "wh-1"
    kind: str = "fine_tuning.job.succeeded"
    age: float = 0.0
    secret: Secret | None = None
    spoilt: bool = False

    @property
    def content(self) -> bytes:
        body = {"object": "event", "id": "evt-1", "created_at": 1, "type": self.kind, "data": {"id": self.remote_job}}
        return json.dumps(body).encode()

    @property
    def headers(self) -> dict[str, str]:
        at = datetime.fromtimestamp(SystemClock().now() - self.age, UTC)
        secret = self.secret or SECRETS[self.account]
        signature = Signer(secret.reveal()).sign(self.id, at, self.content.decode() + "x" * self.spoilt)
        return {
            "webhook-id": self.id,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": signature,
        }


@dataclass
class WebhookStage:
    """Two accounts with a running job each."""

    database: Database
    clock: ManualClock = field(default_factory=ManualClock)
    nudges: int = 0
    remote: dict[str, str] = field(default_factory=dict)

    async def set_up(self) -> None:
        self.sandbox = httpx2.ASGITransport(create_sandbox(self._settings(), clock=self.clock.now))
        self.provider_http = HttpClient(self.sandbox)
        connect = openai_provider.build_provider_factory(self.provider_http, Redactor())
        listed = [
            Account(
                name=name,
                provider=ProviderName.OPENAI,
                api_key="env:KEY",
                base_url="http://sandbox/v1",
                webhook_secret=f"env:{name.upper()}",
            )
            for name in NAMES
        ]
        connections = {
            account.name: ProviderConnection(account, "12345678", connect(account, Secret(f"sandbox-{account.name}")))
            for account in listed
        }
        log = cast(Any, StrictLog())
        self.reconciler = build_reconciler(
            self.database,
            connections,
            load=build_job_loader(self.database),
            identify=_identify,
            redact=Redactor(),
            clock=self.clock,
            jitter=lambda: 0.5,
            timing=PACE,
            datasets=Path("datasets"),
            replica="one",
            log=log,
        )
        incoming = WebhookReceiver(build_webhook_parser(self.provider_http), log)
        incoming.configure(listed, {f"env:{name.upper()}": SECRETS[name] for name in NAMES})
        handler = WebhookHandler(
            wake_dispatch=self._nudge, now=self.clock.now, min_poll_seconds=PACE.poll_min_seconds, log=log
        )
        web = create_app(
            WebBackend(
                now=self.clock.now,
                boottime=self.clock.now,
                call_with_database=_unexpected_call,
                check_health=_unexpected_call,
                render_metrics=lambda _: b"",
                list_tokens=_unexpected_call,
                record_token_use=_unexpected_call,
                session_key=b"of the tests",
                receive_webhook=partial(incoming.receive, self.database, handler),
            )
        )
        self.door = httpx2.AsyncClient(transport=httpx2.ASGITransport(web), base_url="http://127.0.0.1")
        self.remote = {name: await self._remote_job(name) for name in NAMES}
        await self.database.write(self._fill)

    async def tear_down(self) -> None:
        await self.door.aclose()
        await self.provider_http.aclose()

    async def send(self, request: Request) -> int:
        path = f"/webhooks/openai/{request.account}"
        return (await self.door.post(path, content=request.content, headers=request.headers)).status_code

    async def poll_due_jobs(self) -> None:
        """Handle every due job, as a dispatcher does."""
        async with self.database.read() as connection:
            due = await jobs.list_due(connection, self.clock.now(), 9)
        for job_id, _ in due:
            await self.reconciler.handle(job_id)

    async def job(self, name: str) -> Job:
        async with self.database.read() as connection:
            [job] = await jobs.list_by_accounts(connection, [name])
        return job

    async def snapshot(self) -> list[Any]:
        """Every row that a webhook could change."""
        async with self.database.read() as connection:
            tables = (job_table, webhooks, metadata.tables["accounts"], events)
            return [sorted(map(str, (await connection.execute(select(table))).all())) for table in tables]

    async def calls(self) -> dict[str, int]:
        """How often each account's job was polled."""
        state = (await self.provider_http.sdk_client.get("http://sandbox/sandbox/state")).json()[
            "requests_by_account"
        ]
        return {name: sum(state.get(name, {}).get("jobs.retrieve", {}).values()) for name in NAMES}

    def _settings(self) -> SandboxSettings:
        return SandboxSettings(
            file_seconds=0, validating_seconds=0, queue_seconds=0, training_seconds=TRAINING_SECONDS
        )

    def _nudge(self) -> None:
        self.nudges += 1

    async def _remote_job(self, name: str) -> str:
        headers = {"authorization": f"Bearer sandbox-{name}"}
        post: Callable[..., Awaitable[httpx2.Response]] = partial(self.provider_http.sdk_client.post, headers=headers)
        sent = await post(
            "http://sandbox/v1/files", data={"purpose": "fine-tune"}, files={"file": ("a.jsonl", LINES.encode())}
        )
        order = {"model": "sandbox-small", "training_file": sent.json()["id"]}
        return str((await post("http://sandbox/v1/fine_tuning/jobs", json=order)).json()["id"])

    async def _fill(self, tx: Transaction) -> None:
        for table in reversed(metadata.sorted_tables):
            await tx.connection.execute(delete(table))
        await runs.save_dataset(tx, DATASET, 0.0)
        await runs.save(tx, RUN)
        for name in NAMES:
            await accounts.save(tx, a_standing(name))
        now = self.clock.now()
        running = {"state": JobState.RUNNING, "state_since": now - 400.0, "wake_at": now + 500.0}
        await jobs.assign_to_run(
            tx, RUN.id, [a_job(name, remote_job_id=self.remote[name], **running) for name in NAMES]
        )


async def _identify(connected: ProviderConnection) -> tuple[ProviderConnection, AccountIdentity]:
    return connected, AccountIdentity()


async def _unexpected_call(*_: object, **__: object) -> Any:
    raise AssertionError("no webhook asks for this")
