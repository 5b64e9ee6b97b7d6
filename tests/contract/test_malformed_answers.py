"""Answers that are strange, long or endless: no model is missed for what only informs, and no list is endless."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx2
import pytest
from provider_bench import (
    AzureBench,
    CompatibleBench,
    FireworksBench,
    NebiusBench,
    OpenAIBench,
    ProviderBench,
    TogetherBench,
)
from provider_contract import error

from orchestrator.core.errors import ProviderUnavailable
from orchestrator.core.jobs.loss import Loss
from orchestrator.core.remote import RemoteJobStatus
from orchestrator.providers.http import response_decoder
from orchestrator.providers.http.client import HttpClient
from orchestrator.providers.openai.mapping import to_remote_model
from orchestrator.providers.openai.responses import MODEL_DECODER
from orchestrator.sandbox import Fault

BENCHES = [OpenAIBench, CompatibleBench, AzureBench, NebiusBench, TogetherBench, FireworksBench]
PAGED = BENCHES[:4]
ODD: list[Any] = ["abc", 7, -1, 1e308, 10**400, True, [], [7], {}, {"a": {"b": [{}]}}, "x" * 100_000, None, "\0"]
DECORATION = (
    "trained_tokens", "token_count", "estimated_finish", "created_at", "createTime", "hyperparameters", "method",
    "jobProgress", "estimatedCost", "n_epochs", "epochs", "learning_rate", "learningRate", "training_type",
    "organization_id", "error", "events", "integrations", "finished_at", "seed",
)  # fmt: skip
POINTS: list[tuple[Any, Any]] = [
    (1, 0.5), (2, "abc"), (None, 0.4), (3_000_000_000, 0.4), (-1, 0.4), (2.5, 0.4), ("4", 0.4), (True, 0.4),
    (5, [0.4]), (6, {"a": 1}), (7, 10**400), ([8], 0.4), (9.0, 0.25),
]  # fmt: skip


@pytest.fixture(params=BENCHES, ids=lambda bench: str(bench.name))
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> ProviderBench:
    made: ProviderBench = request.param(tmp_path)
    return made


@pytest.fixture(params=PAGED, ids=lambda bench: str(bench.name))
def paged(request: pytest.FixtureRequest, tmp_path: Path) -> ProviderBench:
    made: ProviderBench = request.param(tmp_path)
    return made


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: repr(odd)[:20])
async def test_fine_tuned_model_is_read_despite_other_odd_fields(bench: ProviderBench, odd: Any) -> None:
    provider = bench.provider()
    job = await bench.job(provider)
    bench.now += 100
    usual = await provider.get_job(job.id)
    assert usual.status is RemoteJobStatus.SUCCEEDED

    def spoil(request: httpx2.Request, body: Any) -> Any:
        about_job = (body.get("id") or body.get("name")) == job.id
        return body | dict.fromkeys(DECORATION, odd) if about_job else body

    with bench.changing(spoil):
        done = await provider.get_job(job.id)
    assert (done.status, done.fine_tuned_model) == (usual.status, usual.fine_tuned_model)
    assert len(json.dumps(dict(done.hyperparameters))) < 10_000
    for number in (done.trained_tokens, done.estimated_finish, done.created_at, done.progress, done.quoted_usd):
        assert number is None or -(2**63) < number < 2**63


@pytest.mark.parametrize(
    ("name", "value"),
    [("id", "x" * 257), ("name", "x" * 257), ("id", "a\nb"), ("status", "x" * 65), ("state", "x" * 65), ("id", "")],
)
async def test_ids_and_status_words_have_a_longest_length(bench: ProviderBench, name: str, value: str) -> None:
    provider = bench.provider()
    job = await bench.job(provider)
    if (name in ("name", "state")) is not isinstance(bench, FireworksBench):
        pytest.skip("this provider calls it differently")

    with bench.changing(lambda request, body: body | {name: value}):
        found = await error(provider.get_job(job.id), ProviderUnavailable)
    assert "is not what was asked for" in found.message
    assert len(found.message) <= 500


async def test_losses_that_cannot_be_recorded_are_left_out(bench: ProviderBench) -> None:
    provider = bench.provider()
    if not provider.capabilities.losses:
        pytest.skip("this provider tells no losses")
    job = await bench.job(provider)
    bench.now += 40

    def spoil(request: httpx2.Request, body: Any) -> Any:
        if "metrics" in body:
            return {"metrics": [{"train/global_step": step, "train/loss": loss} for step, loss in POINTS]}
        told = [{"step": step, "train_loss": loss} for step, loss in reversed(POINTS)]
        events = [{"id": f"e{n}", "created_at": "x", "message": 7, "data": data} for n, data in enumerate(told)]
        return {"object": "list", "data": [*events, {"id": "e", "data": [1]}], "has_more": False}

    with bench.changing(spoil):
        assert sorted(await provider.losses(job.id, 0), key=lambda loss: loss.step) == [Loss(1, 0.5), Loss(9, 0.25)]


async def test_nan_is_refused(bench: ProviderBench) -> None:
    provider = bench.provider()
    if not provider.capabilities.losses:
        pytest.skip("this provider tells no losses")
    job = await bench.job(provider)
    with bench.answering(b'{"metrics": [{"train/global_step": 1, "train/loss": NaN}], "data": [{"id": NaN}]}'):
        await error(provider.losses(job.id, 0), ProviderUnavailable)


class Endless:
    """A list that always has another page."""

    def __init__(self, items: int, seconds: float = 0.0) -> None:
        self.pages = 0
        self._items = items
        self._seconds = seconds

    async def __call__(self, request: httpx2.Request) -> httpx2.Response:
        await asyncio.sleep(self._seconds)
        self.pages += 1
        shown = {
            "status": "running",
            "model": "m",
            "training_file": "f",
            "suffix": "s",
            "metadata": {},
            "filename": "n",
        }
        data = [{"id": f"x-{self.pages}-{number}", **shown} for number in range(self._items)]
        return httpx2.Response(200, json={"object": "list", "data": data, "has_more": True})


def endless(bench: ProviderBench, pages: Endless) -> ProviderBench:
    bench.http = HttpClient(httpx2.MockTransport(pages))
    bench.connect = bench.connector()(bench.http, bench.redact)
    return bench


async def test_a_list_without_end_is_an_error(paged: ProviderBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(response_decoder, "MAX_LIST_PAGES", 20)
    pages = Endless(2)
    provider = endless(paged, pages).provider()
    found = await error(provider.find_file(paged.file()), ProviderUnavailable)
    assert "/files has more than 20 pages: 20 pages with 40 items were read" in found.message
    assert pages.pages == 20


async def test_a_list_of_very_many_items_is_an_error(paged: ProviderBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(response_decoder, "MAX_LIST_ITEMS", 100)
    provider = endless(paged, pages := Endless(30)).provider()
    found = await error(provider.losses("ftjob-1", 0), ProviderUnavailable)
    assert "/events has more than 100 items: 4 pages with 120 items were read" in found.message
    assert pages.pages == 4


async def test_list_beyond_its_time_limit_is_an_error(paged: ProviderBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(response_decoder, "MAX_LIST_SECONDS", 0.3)
    provider = endless(paged, pages := Endless(1, seconds=0.05)).provider()
    async with asyncio.timeout(60):
        await error(provider.find_file(paged.file()), ProviderUnavailable)
    assert pages.pages < 50


async def test_job_without_metadata_is_ambiguous(tmp_path: Path) -> None:
    """The filter found it, so it has our tag; the answer does not say so."""
    bench = OpenAIBench(tmp_path)
    provider = bench.provider()
    order = bench.order(await bench.ready_file(provider))
    job = await provider.create_job(order, bench.deadline())

    def hide(request: httpx2.Request, body: Any) -> Any:
        return body | {"data": [{n: v for n, v in item.items() if n != "metadata"} for item in body["data"]]}

    with bench.changing(hide), pytest.raises(Exception, match=f"remote job {job.id} .* does not show its tag"):
        await provider.find_jobs(order)
    with bench.changing(lambda request, body: body | {"data": [item | {"metadata": None} for item in body["data"]]}):
        assert await provider.find_jobs(order) == []


async def test_full_page_without_an_end_mark_is_followed(tmp_path: Path) -> None:
    bench = CompatibleBench(tmp_path)
    provider = bench.provider()
    file = await bench.ready_file(provider)
    ours = await provider.create_job(bench.order(file), bench.deadline())
    for number in range(101):
        await provider.create_job(bench.order(file, f"{number:016x}.0"), bench.deadline())
    bench.faults(Fault("ignore_metadata_filter"))

    def hide(request: httpx2.Request, body: Any) -> Any:
        return {name: value for name, value in body.items() if name != "has_more"}

    with bench.changing(hide):
        assert [job.id for job in await provider.find_jobs(bench.order(file))] == [ours.id]


@pytest.mark.parametrize("odd", ["x", ["chat"], 7, {"fine_tune": "perhaps"}])
def test_foreign_model_fields_of_the_same_names_are_ignored(odd: Any) -> None:
    model = to_remote_model(MODEL_DECODER.decode(json.dumps({"id": "m", "capabilities": odd, "deprecation": [odd]})))
    assert (model.tunable, model.shutdown, model.training_ends) == (None, None, None)


def test_far_future_timestamp_is_a_decoding_error() -> None:
    with pytest.raises((OverflowError, ValueError, OSError)):
        to_remote_model(MODEL_DECODER.decode(b'{"id": "m", "deprecation": {"inference": 1e300}}'))


async def test_a_day_that_does_not_exist_is_an_error_of_the_provider(bench: ProviderBench) -> None:
    def spoil(request: httpx2.Request, body: Any) -> Any:
        odd = {"shutdown_date": "soon", "deprecationDate": {"year": 0, "month": 13, "day": 1}, "model_name": 7}
        return body | odd | {"deprecation": {"inference": 1e300}}

    with bench.changing(spoil):
        await error(bench.provider().find_model(bench.base_model), ProviderUnavailable)
