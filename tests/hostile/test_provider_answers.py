"""Answers of providers that are broken or malicious: a clean error with a hint, or handled; nothing is paid twice."""

from __future__ import annotations

from pathlib import Path

import pytest
from dialects import BENCHES, connect_to_raw_server
from provider_bench import TAG, ProviderBench
from raw_server import http_answer

from orchestrator.core.errors import ProviderError, ProviderUnavailable, UnknownOutcome
from orchestrator.providers.base import JobOrder

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


def order(bench: ProviderBench) -> JobOrder:
    return JobOrder(tag=TAG, spec=bench.spec(), training_file="file-1", validation_file=None)


async def test_broken_http_never_means_that_nothing_was_created(bench: ProviderBench) -> None:
    for name, answer in NOT_HTTP.items():
        async with connect_to_raw_server(bench, answer) as provider:
            for call, kind in (
                (provider.get_job("ft-1"), ProviderUnavailable),
                (provider.find_jobs(order(bench)), ProviderUnavailable),
                (provider.create_job(order(bench), bench.deadline()), UnknownOutcome),
            ):
                with pytest.raises(ProviderError) as caught:
                    await call
                assert isinstance(caught.value, kind), f"{name}: {caught.value!r}"
