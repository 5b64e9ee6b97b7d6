"""The moderation in the background: it survives outages, reports its progress, and never passes an unjudged text."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import structlog
from store_values import DATASET, NOW, RUN, a_job, fill
from structlog.testing import capture_logs

from orchestrator import control
from orchestrator.core.account import Account, AccountIdentity, ProviderName
from orchestrator.core.capabilities import CAPABILITIES
from orchestrator.core.dataset import Dataset
from orchestrator.core.errors import AuthenticationFailed, ProviderError, ProviderUnavailable, RequestRejected
from orchestrator.core.hold import HoldKind
from orchestrator.core.jobs.run import Run
from orchestrator.core.moderation import Moderation, ModerationStatus, ModerationVerdict
from orchestrator.core.structs import replace
from orchestrator.daemon import moderation_worker
from orchestrator.daemon.moderation_worker import ModerationWorker
from orchestrator.planning.desired_state import DesiredState
from orchestrator.planning.moderation import build_pending_moderation
from orchestrator.providers.base import ProviderConnection
from orchestrator.status import StatusSnapshot, describe_moderation, get_status
from orchestrator.store.db.database import Database
from orchestrator.store.queries import runs

OUTAGE = ProviderUnavailable("no response from the provider (ConnectError: name or service not known)")


@dataclass
class Clock:
    """Stands still until a test moves it."""

    at: float = NOW

    def now(self) -> float:
        return self.at

    boottime = now


@dataclass
class Provider:
    """A moderation that answers as `errors` say, then well; `gate` makes it wait."""

    name: ProviderName = ProviderName.OPENAI
    errors: list[ProviderError] = field(default_factory=list)
    judged: list[str] = field(default_factory=list)
    gate: asyncio.Event | None = None
    was_asked: asyncio.Event = field(default_factory=asyncio.Event)

    async def until_asked(self) -> None:
        async with asyncio.timeout(60):
            await self.was_asked.wait()

    @property
    def capabilities(self) -> Any:
        return CAPABILITIES[self.name]

    async def verify(self) -> AccountIdentity:
        return AccountIdentity(organization=None)

    async def moderate(self, texts: Sequence[str]) -> list[ModerationVerdict]:
        self.judged += texts
        self.was_asked.set()
        if self.gate:
            await self.gate.wait()
        if self.errors:
            raise self.errors.pop(0)
        return [ModerationVerdict("FLAGME" in text, ("harassment",)) for text in texts]


class Stage:
    """A worker over a database with one run, and chats of two texts."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.clock = Clock()
        self.providers: dict[str, Provider] = {}
        self.nudged = 0
        self.chats = folder / "chats"
        self.chats.mkdir()
        self.jsonl = folder / "dataset.jsonl"
        self.write("Hello", "Hi")
        self.options = SimpleNamespace(moderation=None, moderation_waived=None)
        self.connections: dict[str, ProviderConnection] = {}
        self.worker = self.new_worker()

    def new_worker(self, replica: str = "r1") -> ModerationWorker:
        worker = ModerationWorker(
            self.database,
            self.connections,
            identify=self._identify,
            replica=replica,
            tokens_per_minute=10_000,
            clock=self.clock,
            jitter=lambda: 0.5,
            log=structlog.get_logger("test"),
        )
        worker.on_passed = self._nudge
        return worker

    def write(self, *texts: str) -> None:
        messages = [{"role": "user", "content": texts[0]}, {"role": "assistant", "content": texts[1]}]
        (self.chats / "one.json").write_text(json.dumps(messages, indent=1))
        self.jsonl.write_text(json.dumps({"messages": messages}) + "\n")

    def account(self, name: str, provider: Provider) -> None:
        self.providers[name] = provider
        account = Account(name=name, provider=provider.name, api_key="env:KEY")
        self.connections[name] = ProviderConnection(account, "12345678", cast(Any, provider))

    async def begin(self) -> None:
        await fill(self.database, [a_job("acme")], replace(RUN, moderation=build_pending_moderation(NOW)))
        self.request()

    def request(self) -> None:
        part = replace(DATASET.training, path=self.jsonl)
        definition = SimpleNamespace(options=self.options, chat_paths=self.chats)
        desired = SimpleNamespace(run=definition, dataset=Dataset(training=part))
        self.worker.request(cast(DesiredState, desired), replace(RUN, moderation=build_pending_moderation(NOW)))

    async def run(self) -> Run:
        async with self.database.read() as connection:
            return await runs.get(connection, RUN.id)

    async def record(self) -> Moderation:
        record = (await self.run()).moderation
        assert record is not None
        return record

    async def until(self, true: Callable[[Moderation], bool]) -> Moderation:
        async with asyncio.timeout(60):
            while not true(record := await self.record()):  # noqa: ASYNC110 - the record is in the database
                await asyncio.sleep(0.01)
        return record

    async def _identify(self, connection: ProviderConnection) -> tuple[ProviderConnection, AccountIdentity]:
        return connection, await connection.verify_identity()

    def _nudge(self) -> None:
        self.nudged += 1


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moderation_worker, "RECORD_CHECK_SECONDS", 0.01)
    monkeypatch.setattr(moderation_worker, "PROGRESS_SAVE_SECONDS", 0.01)
    monkeypatch.setattr(moderation_worker, "MAX_REQUEST_ATTEMPTS", 1)


@pytest.fixture
async def stage(database: Database, tmp_path: Path) -> AsyncIterator[Stage]:
    made = Stage(database, tmp_path)
    yield made
    await made.worker.stop()


@pytest.fixture
def log_lines() -> Iterator[list[Any]]:
    with capture_logs() as lines:
        yield lines


def progress_of(status: StatusSnapshot) -> str:
    assert status.run is not None
    return describe_moderation(status.run.moderation) or ""


def waits(record: Moderation) -> bool:
    return record.progress is not None and record.progress.retry_at is not None


async def test_moderation_recovers_from_an_outage_by_itself(stage: Stage, log_lines: list[Any]) -> None:
    stage.account("acme", Provider(errors=[OUTAGE, OUTAGE]))
    await stage.begin()
    for attempt in (1, 2):
        record = await stage.until(
            lambda record, wanted=attempt: waits(record) and record.progress.attempts == wanted  # type: ignore[misc]
        )
        hold = record.hold
        assert hold is not None
        assert hold.kind == HoldKind.MODERATING
        assert "name or service not known" in hold.reason
        assert "waive" not in hold.hint
        assert "The next attempt is at 1970-01-12 13:46:" in hold.hint
        status = await get_status(stage.database, stage.clock.at)
        assert not status.settled, "it continues by itself"
        assert f"attempt {attempt + 1} is at 1970" in progress_of(status)
        assert record.progress is not None
        assert record.progress.retry_at is not None
        stage.clock.at = record.progress.retry_at
    passed = await stage.until(lambda record: record.state is ModerationStatus.PASSED)
    assert (passed.by, passed.texts) == ("acme", 2)
    retries = [line for line in log_lines if line["event"] == "moderation.retry_scheduled"]
    assert [(line["attempts"], "name or service" in line["message"]) for line in retries] == [(1, True), (2, True)]
    assert all(line["next_attempt"].startswith("1970-01-12T13:46:") for line in retries)
    async with asyncio.timeout(60):
        await stage.worker.wait()
    assert stage.nudged == 1


async def test_moderation_uses_another_account_during_an_outage(stage: Stage) -> None:
    stage.account("acme", Provider(errors=[OUTAGE]))
    stage.account("other", Provider())
    await stage.begin()
    assert (await stage.until(lambda record: record.state is ModerationStatus.PASSED)).by == "other"


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (AuthenticationFailed("401: no"), "Check the key"),
        (RequestRejected("400 unknown_model: no such model"), "Correct the cause that the message names"),
    ],
)
async def test_refusal_holds_the_run_and_is_retried_after_a_release(
    stage: Stage, error: ProviderError, hint: str
) -> None:
    stage.account("acme", Provider(errors=[error]))
    await stage.begin()
    held = await stage.until(lambda record: record.progress is None)
    assert held.hold is not None
    assert (held.hold.kind, error.message in held.hold.reason) == (HoldKind.NOT_MODERATED, True)
    assert held.hold.hint.startswith(hint)
    assert "waive" not in held.hold.hint
    async with asyncio.timeout(60):
        await stage.worker.wait()
    assert (await control.release_accounts(stage.database, ["acme"], by="me", now=NOW + 1)).moderation_requested
    assert (await stage.until(lambda record: record.state is ModerationStatus.PASSED)).texts == 2
    assert not (await control.release_accounts(stage.database, ["acme"], by="me", now=NOW + 2)).moderation_requested


async def test_no_chat_is_sent_with_the_key_of_an_account_on_hold(stage: Stage) -> None:
    held, other = Provider(), Provider()
    stage.account("acme", held)
    await fill(stage.database, [a_job("acme"), a_job("globex")])
    await control.hold_accounts(stage.database, ["acme"], reason="do not use it", by="me", now=NOW)
    await stage.begin()
    record = await stage.until(lambda record: record.progress is None)
    assert (record.state, held.judged) == (ModerationStatus.MISSING, [])
    assert "account acme: account_error: it is on hold: do not use it" in record.reason
    assert record.hint == "Run `orchestrator release acme` to continue."
    stage.account("globex", other)
    await control.release_accounts(stage.database, ["globex"], by="me", now=NOW)  # moderates again
    await stage.until(lambda record: record.state is ModerationStatus.PASSED)
    assert (held.judged, bool(other.judged)) == ([], True)


async def test_a_release_does_not_wait_for_the_next_attempt(stage: Stage) -> None:
    stage.account("acme", Provider(errors=[replace_retry(OUTAGE, 3600.0)]))
    await stage.begin()
    record = await stage.until(waits)
    assert record.progress is not None
    assert record.progress.retry_at == NOW + 3600
    await control.release_accounts(stage.database, ["acme"], by="me", now=NOW)
    await stage.until(lambda record: record.state is ModerationStatus.PASSED)


def replace_retry(error: ProviderError, seconds: float) -> ProviderError:
    return ProviderUnavailable(error.message, retry_after=seconds)


async def test_moderation_continues_after_a_stop(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.write("one " * 6_000, "two " * 6_000)  # a request each
    slow = Provider(gate=asyncio.Event())
    stage.account("acme", slow)
    await stage.begin()
    await slow.until_asked()
    assert slow.gate is not None
    slow.gate.set()
    slow.gate = None
    record = await stage.until(lambda record: record.progress is not None and record.progress.judged > 0)
    assert record.progress is not None
    assert record.progress.total > record.progress.judged
    assert record.progress.finish_at is not None
    assert record.progress.finish_at > NOW, "an estimate"
    status = await get_status(stage.database, NOW)
    assert "texts are moderated" in progress_of(status)
    async with asyncio.timeout(5):
        await stage.worker.stop()
    sent = list(slow.judged)
    stage.worker = stage.new_worker("r2")
    stage.clock.at += 61
    stage.request()
    await stage.until(lambda _: len(slow.judged) > len(sent))
    assert set(sent).isdisjoint(slow.judged[len(sent) :]), "no verdict is requested twice"


async def test_waiver_ends_a_running_moderation(stage: Stage) -> None:
    stage.account("acme", Provider(gate=asyncio.Event()))
    await stage.begin()
    await stage.providers["acme"].until_asked()
    await control.waive_moderation(stage.database, reason="ticket 7", by="me", now=NOW)
    async with asyncio.timeout(60):
        await stage.worker.wait()
    assert (await stage.record()).state is ModerationStatus.WAIVED


async def test_a_flagged_text_holds_the_run_and_names_the_chat(stage: Stage) -> None:
    stage.write("Hello", "FLAGME")
    stage.account("acme", Provider())
    await stage.begin()
    held = await stage.until(lambda record: record.progress is None)
    assert held.hold is not None
    assert "the moderation flags 1 text: one.json:8 at $[1].content" in held.hold.reason
    async with asyncio.timeout(60):
        await stage.worker.wait()
    assert stage.worker.flagged_error is not None
    assert [found.file for found in stage.worker.flagged_error.findings] == ["one.json"]


async def test_moderation_covers_the_dataset_after_chats_have_changed(stage: Stage) -> None:
    """The chats may be edited during a long moderation; the file that is uploaded is the one that was built."""
    stage.write("Hello", "FLAGME")
    (stage.chats / "one.json").write_text('[{"role": "user", "content": "Hello"}]')
    stage.account("acme", Provider())
    await stage.begin()
    held = await stage.until(lambda record: record.progress is None)
    assert held.state is ModerationStatus.MISSING
    assert "dataset.jsonl:1" in held.reason


async def test_image_is_reported_as_not_moderated(stage: Stage) -> None:
    picture = {"type": "image_url", "image_url": {"url": "https://a.example/x.png"}}
    messages = [{"role": "user", "content": [{"type": "text", "text": "See?"}, picture]}]
    stage.jsonl.write_text(json.dumps({"messages": [*messages, {"role": "assistant", "content": "Yes."}]}) + "\n")
    stage.account("acme", Provider())
    await stage.begin()
    held = await stage.until(lambda record: record.progress is None)
    assert "the texts passed, and 1 picture cannot be judged:" in held.reason
    assert held.hint.startswith("Check the pictures yourself")


async def test_named_account_is_used_for_any_provider_name(stage: Stage) -> None:
    stage.account("acme", Provider())
    stage.account("mine", Provider(name=ProviderName.OPENAI_COMPATIBLE))
    stage.options.moderation = "mine"
    await stage.begin()
    assert (await stage.until(lambda record: record.state is ModerationStatus.PASSED)).by == "mine"
    assert stage.providers["acme"].judged == []


async def test_named_account_without_moderation_is_reported(stage: Stage) -> None:
    stage.account("mine", Provider(name=ProviderName.TOGETHER))
    stage.options.moderation = "mine"
    await stage.begin()
    held = await stage.until(lambda record: record.progress is None)
    assert held.reason == "account mine is at together, which has no moderation API"


async def test_moderation_moves_from_a_dead_replica_only(stage: Stage) -> None:
    other = build_pending_moderation(NOW)
    assert other.progress is not None
    other = replace(other, progress=replace(other.progress, replica="r9"))
    await fill(stage.database, [a_job("acme")], replace(RUN, moderation=other))
    stage.account("acme", Provider())
    alive = _replica("r9", NOW + 60)
    from orchestrator.store.queries import replicas

    await stage.database.write(lambda tx: replicas.save_heartbeat(tx, alive))
    stage.request()
    if stage.database.is_sqlite:  # one process owns it: the other one is of the past
        await stage.until(lambda record: record.state is ModerationStatus.PASSED)
        return
    await asyncio.sleep(0.3)
    assert stage.providers["acme"].judged == []
    stage.clock.at = NOW + 61
    await stage.until(lambda record: record.state is ModerationStatus.PASSED)


def _replica(name: str, until: float) -> Any:
    from orchestrator.store.queries.replicas import Replica

    return Replica(name, "host", 1, NOW, NOW, until)
