"""Pages that many clients request at the same time are read once, and are never older than the last commit."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from api_values import OPERATOR, READER, ServedApp, serve
from store_values import NOW, a_job, fill, record

from orchestrator import control, status
from orchestrator.core.hold import Hold
from orchestrator.core.jobs.job_filter import JobFilter
from orchestrator.core.jobs.lifecycle import JobEvent
from orchestrator.core.jobs.transitions import advance
from orchestrator.status import SharedReads
from orchestrator.status.cache import shared_reads
from orchestrator.status.cache.shared_reads import MAX_AGE_SECONDS, MAX_SHARED_JOBS, MAX_SHARED_RESULTS
from orchestrator.store.db.database import Database

JOBS = [a_job(name) for name in ("a", "b", "c")]
VIEWERS = 50


class ReadCounter:
    """Counts the long reads of a database, and can delay them."""

    def __init__(self, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self.gate: asyncio.Event | None = None
        self._read_long = database.read_long
        monkeypatch.setattr(database, "read_long", self._count)

    @asynccontextmanager
    async def _count(self) -> AsyncIterator[Any]:
        self.count += 1
        async with self._read_long() as connection:
            yield connection
            if self.gate is not None:
                await self.gate.wait()


@pytest.fixture
def sqlite(database: Database) -> Database:
    if not database.is_sqlite:
        pytest.skip("PostgreSQL's data version also counts what others do in the same server")
    return database


async def get_counts(reads: SharedReads, database: Database, now: float = NOW) -> dict[str, int]:
    found = await reads.call(status.find_run_overview, database, now, run_id=None)
    assert found is not None
    return found.counts


async def start_upload(database: Database, number: int) -> None:
    await record(database, advance(JOBS[number], JobEvent.UPLOAD_STARTED, now=NOW))


async def test_viewers_of_an_unchanged_run_share_one_read(sqlite: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    reads, counter = SharedReads(), ReadCounter(sqlite, monkeypatch)
    await fill(sqlite, JOBS)
    for _ in range(3):
        found = await asyncio.gather(*(get_counts(reads, sqlite) for _ in range(VIEWERS)))
        assert found == [{"planned": 3}] * VIEWERS
    assert counter.count == 1


async def test_viewers_of_a_changing_run_share_two_reads_at_most(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads, counter = SharedReads(), ReadCounter(database, monkeypatch)
    await fill(database, JOBS)
    counter.gate = asyncio.Event()
    early = [asyncio.create_task(get_counts(reads, database)) for _ in range(VIEWERS)]
    while counter.count == 0:  # noqa: ASYNC110 - nothing tells
        await asyncio.sleep(0.001)
    await start_upload(database, 0)
    late = [asyncio.create_task(get_counts(reads, database)) for _ in range(VIEWERS)]
    await asyncio.sleep(0)
    counter.gate.set()
    await asyncio.gather(*early)
    assert await asyncio.gather(*late) == [{"planned": 2, "uploading": 1}] * VIEWERS, "they know of the change"
    assert counter.count == 2


async def test_read_after_an_expensive_one_pauses_and_serves_all_who_came_meanwhile(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_reads, "READ_TIME_DIVISOR", 1_000_000)  # any read is an expensive one
    pauses: list[float] = []
    has_begun, end_of_pause = asyncio.Event(), asyncio.Event()

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        has_begun.set()
        await end_of_pause.wait()

    reads, counter = SharedReads(pause), ReadCounter(database, monkeypatch)
    await fill(database, JOBS)
    await get_counts(reads, database)
    waiting = []
    for number in range(3):
        await start_upload(database, number)
        waiting.append(asyncio.create_task(get_counts(reads, database)))
        await has_begun.wait()
    end_of_pause.set()
    assert await asyncio.gather(*waiting) == [{"uploading": 3}] * 3, "a result is later, but never older"
    assert counter.count == 2
    assert [0 < seconds <= shared_reads.MAX_PAUSE_SECONDS for seconds in pauses] == [True]


async def test_read_of_other_arguments_does_not_pause(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_reads, "READ_TIME_DIVISOR", 1_000_000)

    async def fail(seconds: float) -> None:
        raise AssertionError(seconds)

    reads = SharedReads(fail)
    await fill(database, JOBS)
    await get_counts(reads, database)
    page = await reads.call(status.list_jobs, database, JobFilter(), NOW, limit=2)
    assert page is not None
    assert page.total == 3


async def test_every_commit_is_seen_by_the_next_read(database: Database) -> None:
    reads = SharedReads()
    await fill(database, JOBS)
    for number in range(3):
        assert (await get_counts(reads, database)).get("uploading", 0) == number
        await start_upload(database, number)


async def test_passing_time_is_seen(database: Database) -> None:
    reads = SharedReads()
    await fill(database, [a_job("a", hold=Hold("busy", "Wait.", "Wait.", until=NOW + MAX_AGE_SECONDS))])
    assert await get_counts(reads, database) == {"held": 1}
    assert await get_counts(reads, database, NOW + MAX_AGE_SECONDS) == {"planned": 1}


async def test_other_arguments_are_another_read(database: Database) -> None:
    reads = SharedReads()
    await fill(database, JOBS)
    for limit in (1, 2):
        for skip in (0, 2):
            page = await reads.call(status.list_jobs, database, JobFilter(), NOW, limit=limit, skip=skip)
            assert page is not None
            assert len(page.jobs) == min(limit, 3 - skip)
    filtered = await reads.call(status.list_jobs, database, JobFilter(text="c"), NOW, limit=2)
    assert filtered is not None
    assert [job.account for job in filtered.jobs] == ["c"]


async def test_results_are_bounded(sqlite: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    reads, counter = SharedReads(), ReadCounter(sqlite, monkeypatch)
    await fill(sqlite, JOBS)

    async def read_page(limit: int, skip: int = 0) -> int:
        before = counter.count
        await reads.call(status.list_jobs, sqlite, JobFilter(), NOW, limit=limit, skip=skip)
        return counter.count - before

    assert [await read_page(1), await read_page(1)] == [1, 0]
    assert [await read_page(MAX_SHARED_JOBS + 1) for _ in range(2)] == [1, 1], "an export is not kept"
    for skip in range(MAX_SHARED_RESULTS):
        await read_page(1, skip=skip + 1)
    assert await read_page(1) == 1, "the oldest result was dropped"


def no_price(_provider: str, _model: str) -> None:
    """Know no price."""


async def test_pages_of_a_run_and_metrics_are_shared(sqlite: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    reads, counter = SharedReads(), ReadCounter(sqlite, monkeypatch)
    await fill(sqlite, JOBS)

    async def read_all() -> list[object]:
        return [
            await reads.call(status.find_timeline, sqlite, JobFilter(), NOW, limit=1000),
            await reads.call(status.find_loss_overview, sqlite, JobFilter(), NOW, limit=1000),
            await reads.call(status.find_costs, sqlite, no_price, run_id=None),
            await reads.call(status.get_metrics_snapshot, sqlite, NOW),
            await reads.call(status.get_run_matrix, sqlite, JobFilter(), NOW, limit=50),
        ]

    first = await read_all()
    before = counter.count
    assert await read_all() == first
    assert counter.count == before
    await start_upload(sqlite, 0)
    changed = await read_all()
    assert [old == new for old, new in zip(first, changed, strict=True)] == [False, True, True, False, False]


async def test_failed_read_is_not_kept(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = SharedReads()
    await fill(database, JOBS)
    with monkeypatch.context() as patched:
        patched.setattr(database, "read_long", None)
        with pytest.raises(TypeError):
            await get_counts(reads, database)
    assert await get_counts(reads, database) == {"planned": 3}


async def log_in(served: ServedApp, token: str) -> httpx2.AsyncClient:
    """Return a browser with a session of this token."""
    browser = served.client()
    answer = await browser.post("/login", data={"token": token})
    assert answer.status_code == 303
    return browser


def find_csrf_tokens(page: str) -> set[str]:
    """Return the CSRF token of a page, and the hash of the dataset."""
    return set(re.findall(r"\b[0-9a-f]{64}\b", page))


async def test_viewers_share_the_read_but_not_what_only_one_of_them_may_see(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = await serve(database)
    browsers = [await log_in(served, token) for token in (OPERATOR, OPERATOR, READER)]
    viewers = [*browsers, served.client(OPERATOR), served.client(READER), served.client("wrong"), served.client()]
    counter = ReadCounter(database, monkeypatch)
    for path in ("/", "/?state=failed", "/overview", "/timeline", "/costs", "/curves"):
        answers = await asyncio.gather(*(viewer.get(path) for viewer in viewers + viewers[:5] * 2))
        operator, other_operator, reader, _, token_reader, wrong, anonymous = answers[: len(viewers)]
        assert [answer.status_code for answer in answers[: len(viewers)]] == [200] * 5 + [401, 401], path
        for number, answer in enumerate(answers):  # each is answered as if it were alone
            alone = answers[number if number < len(viewers) else (number - len(viewers)) % 5]
            assert (answer.status_code, answer.text) == (alone.status_code, alone.text), path
        for page in (reader, token_reader):
            assert "/confirm" not in page.text, "a reader has no buttons of actions"
        for page in (wrong, anonymous):
            assert "acme" not in page.text
        tags = {page.headers["ETag"] for page in (operator, other_operator, reader, token_reader)}
        assert len(tags) == 4, "a page of one client does not count as known to another"
        if path == "/":
            assert "/confirm" in operator.text
    csrf = [find_csrf_tokens((await browser.get("/")).text) for browser in browsers[:2]]
    assert [len(csrf[0] - csrf[1]), len(csrf[1] - csrf[0])] == [1, 1], "each session has its own CSRF token"
    assert counter.count < 60, "90 authenticated requests for pages, most of which take two reads"
    await control.revoke_token(database, "eyes", by="me", now=NOW)
    assert [(await viewer.get("/")).status_code for viewer in viewers[2:5]] == [401, 200, 401]
    for viewer in viewers:
        await viewer.aclose()
