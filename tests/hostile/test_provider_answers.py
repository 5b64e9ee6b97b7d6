"""Answers of providers that are broken or malicious: a clean error with a hint, or handled; nothing is paid twice."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import httpx2
import pytest
from dialects import BENCHES, connect_to_raw_server, order_for
from provider_bench import BedrockBench, CompatibleBench, DashScopeBench, OpenAIBench, ProviderBench
from raw_server import http_answer, serve_raw

from orchestrator.core.errors import AmbiguousRemoteJob, ProviderError, ProviderUnavailable, UnknownOutcome

NOT_HTTP = {
    "closed without an answer": b"",
    "truncated": http_answer(b'{"id": "ft-1"', length=1_000),
    "endless interim answers, then closed": b"HTTP/1.1 103 Early Hints\r\n\r\n" * 50,
    "an unfinished chunk": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffff\r\n{}\r\n",
    "a chunk size that is no number": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
    "a negative length": b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n{}",
    "two lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 9\r\n\r\n{}",
    "a body that is not gzip": http_answer(b"{}", headers="content-encoding: gzip\r\n"),
    "another protocol": b"SSH-2.0-OpenSSH_9.6\r\n",
    "a status of four digits": b"HTTP/1.1 2000 OK\r\n\r\n",
    "a line break in a header": b"HTTP/1.1 200 OK\r\nx: a\r\n\x1b[2Jb\r\n\r\n{}",
}


@pytest.fixture(params=BENCHES, ids=lambda bench: str(bench.name))
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> ProviderBench:
    made: ProviderBench = request.param(tmp_path)
    return made


async def test_broken_http_never_means_that_nothing_was_created(bench: ProviderBench) -> None:
    for name, answer in NOT_HTTP.items():
        async with connect_to_raw_server(bench, answer) as provider:
            for call, kind in (
                (provider.get_job("ft-1"), ProviderUnavailable),
                (provider.find_jobs(order_for(bench)), ProviderUnavailable),
                (provider.create_job(order_for(bench), bench.deadline()), UnknownOutcome),
            ):
                with pytest.raises(ProviderError) as caught:
                    await call
                assert isinstance(caught.value, kind), f"{name}: {caught.value!r}"


VERDICT = {"flagged": False, "categories": {}, "category_scores": {}}
ODD_FLAGS: list[Any] = [None, "false", 0, [], {}]
NO_VERDICTS: list[Any] = [
    None, [], "passed", {"results": None}, {"results": "none"}, {"results": [None, None]}, {"results": [{}, {}]},
    {"error": "busy"}, *({"results": [VERDICT, VERDICT | {"flagged": odd}]} for odd in ODD_FLAGS),
    {"results": [VERDICT, VERDICT | {"categories": None}]}, {"results": [VERDICT | {"category_scores": "x"}]},
]  # fmt: skip


@pytest.mark.parametrize("answer", NO_VERDICTS, ids=lambda answer: json.dumps(answer)[:60])
async def test_text_without_a_readable_verdict_does_not_pass(tmp_path: Path, answer: Any) -> None:
    bench = OpenAIBench(tmp_path)
    bench.wire.creation = re.compile("/moderations$")
    provider: Any = bench.provider()
    with bench.answering_creates(answer), pytest.raises(ProviderUnavailable):
        await provider.moderate(["a text", "another"])


@pytest.mark.parametrize("size", [None, "", "-1", "9" * 5_000, "many"])
async def test_object_without_a_size_is_an_outage(tmp_path: Path, size: str | None) -> None:
    bench = BedrockBench(tmp_path)
    provider = bench.provider()
    headers = [(b"etag", b"x"), *([] if size is None else [(b"content-length", size.encode())])]
    bench.wire.instead = httpx2.Response(200, headers=headers)
    with pytest.raises(ProviderUnavailable, match="no size"):
        await provider.find_file(bench.file())


@pytest.mark.parametrize("odd", ["nan", "inf", "1e999", "9" * 64])
async def test_number_that_cannot_be_stored_stays_a_text(tmp_path: Path, odd: str) -> None:
    """DashScope shows the numbers of its hyperparameters as texts."""
    bench = DashScopeBench(tmp_path)
    provider = bench.provider()
    job = await bench.job(provider)
    used = {"learning_rate": odd, "n_epochs": "3"}
    with bench.changing(lambda _, body: body | {"output": body["output"] | {"hyper_parameters": used}}):
        found = await provider.get_job(job.id)
    assert found.hyperparameters == {"learning_rate": odd, "n_epochs": 3}


async def test_message_about_thousands_of_unclear_jobs_is_short(tmp_path: Path) -> None:
    bench = CompatibleBench(tmp_path)
    provider = bench.provider()
    order = order_for(bench)
    shown = {"status": "running", "model": bench.base_model, "training_file": order.training_file}
    jobs = [{"id": f"ftjob-{number}", **shown} for number in range(5_000)]
    with bench.answering({"data": jobs, "has_more": False}), pytest.raises(AmbiguousRemoteJob) as caught:
        await provider.find_jobs(order)
    assert "`orchestrator adopt 0123456789abcdef ftjob-0` or" in caught.value.hint
    assert "with the id of one of 4,995 others" in caught.value.hint
    assert len(caught.value.message) + len(caught.value.hint) < 2_000


STOLEN = "http://{host}/stolen"
NO_ANSWERS = [(204, ""), (205, ""), (301, STOLEN), (302, STOLEN), (303, ""), (304, ""), (307, STOLEN), (308, STOLEN)]


async def test_redirect_is_not_followed_and_no_content_is_no_answer(bench: ProviderBench) -> None:
    reached: list[str] = []

    async def note(writer: asyncio.StreamWriter) -> None:
        reached.append(str(writer.get_extra_info("peername")))

    async with serve_raw(note) as other:
        for status, location in NO_ANSWERS:
            target = f"location: {location.format(host=other.removeprefix('http://'))}\r\n" if location else ""
            answer = f"HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: 0\r\n{target}\r\n".encode()
            async with connect_to_raw_server(bench, answer) as provider:
                with pytest.raises(ProviderUnavailable):
                    await provider.get_job("ft-1")
                with pytest.raises(ProviderUnavailable):
                    await provider.find_jobs(order_for(bench))
                with pytest.raises(UnknownOutcome):
                    await provider.create_job(order_for(bench), bench.deadline())
    assert reached == []
