"""Every call of every dialect with the answers that its stand-in gave once, replayed without the stand-in."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from answer_mutations import Mutation
from deployment_bench import list_benches
from dialects import BENCHES
from provider_bench import ProviderBench, SmallBench
from token_bench import TokenBench

from orchestrator.core.account import ProviderName
from orchestrator.core.inference import ChatQuestion, ModelAddress
from orchestrator.providers.base import JobOrder
from orchestrator.providers.http.client import HttpClient
from orchestrator.providers.redaction import redact_provider

MAX_CALL_SECONDS = 60.0
QUESTION = ChatQuestion(messages=[{"role": "user", "content": "Is it late?"}], max_output_tokens=40, top_logprobs=3)
COMPLETION = {
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "No.", "refusal": None},
            "finish_reason": "stop",
            "logprobs": {
                "content": [{"token": "No.", "logprob": -0.5, "top_logprobs": []}],
                "token_logprobs": [-0.5],
            },
        }
    ],
    "usage": {"prompt_tokens": 7, "completion_tokens": 2},
    "system_fingerprint": "fp_1",
}
CONVERSE = {
    "output": {"message": {"role": "assistant", "content": [{"text": "No."}]}},
    "stopReason": "end_turn",
    "usage": {"inputTokens": 7, "outputTokens": 2},
}
GENERATED = {
    "candidates": [
        {"content": {"role": "model", "parts": [{"text": "No."}]}, "finishReason": "STOP", "avgLogprobs": -0.5}
    ],
    "usageMetadata": {"promptTokenCount": 7, "candidatesTokenCount": 2},
    "modelVersion": "gemini",
}
CHAT_ANSWERS = {ProviderName.BEDROCK: CONVERSE, ProviderName.VERTEX: GENERATED}
Call = Callable[[], Awaitable[Any]]


@dataclass(frozen=True)
class Exchange:
    """A request with the answer to it."""

    target: tuple[str, str]  # method and path
    answer: httpx2.Response


@dataclass
class Replay(httpx2.AsyncBaseTransport):
    """Records the answers of a transport, or replays recorded ones with one of them changed."""

    inner: httpx2.AsyncBaseTransport
    exchanges: list[Exchange] | None = None  # to replay; None: record
    mutation: Mutation | None = None
    recorded: list[Exchange] = field(default_factory=list)
    requests: list[httpx2.Request] = field(default_factory=list)
    answered: list[httpx2.Response] = field(default_factory=list)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        target = request.method, request.url.path
        if self.exchanges is None:
            answer = await self.inner.handle_async_request(request)
            await answer.aread()
            self.recorded.append(Exchange(target, answer))
            return answer
        await request.aread()
        number = len(self.requests)
        before = sum((each.method, each.url.path) == target for each in self.requests)
        self.requests.append(request)
        same = [each.answer for each in self.exchanges if each.target == target] or [self.exchanges[-1].answer]
        answer = same[min(before, len(same) - 1)]
        if self.mutation is not None and number == self.mutation.index % len(self.exchanges):
            answer = self.mutation.change(answer)
        self.answered.append(answer)
        return httpx2.Response(answer.status_code, headers=answer.headers.raw, content=answer.content)


class RecordedDialect:
    """The calls of one dialect, by their name. `run` replays one of them."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.loop = asyncio.new_event_loop()
        self.calls: dict[str, tuple[Call, list[Exchange]]] = {}
        self.replay: Replay

    def use(self, bench: ProviderBench) -> None:
        """Put the recorder between the bench's dialect and its stand-in."""
        self.replay = Replay(bench.wire)
        bench.http = HttpClient(self.replay)
        bench.connect = bench.connector()(bench.http, bench.redact)

    def await_(self, call: Awaitable[Any]) -> Any:
        async def wait() -> Any:
            async with asyncio.timeout(MAX_CALL_SECONDS):
                return await call

        return self.loop.run_until_complete(wait())

    def record(self, name: str, call: Call) -> Any:
        """Make the call once and keep the answers."""
        self.replay.recorded = []
        found = self.await_(call())
        if self.replay.recorded:  # a dialect without this call answers it by itself
            self.calls[name] = (call, self.replay.recorded)
        self.replay.recorded = []
        return found

    def run(self, name: str, mutation: Mutation | None) -> Any:
        """Make the call again, with the recorded answers of which one is changed."""
        call, self.replay.exchanges = self.calls[name]
        self.replay.mutation, self.replay.requests, self.replay.answered = mutation, [], []
        return self.await_(call())

    def close(self) -> None:
        self.loop.close()


def record_jobs(bench: ProviderBench) -> RecordedDialect:
    """Record the calls about files, jobs and models."""
    dialect = RecordedDialect(str(bench.name))
    dialect.use(bench)
    provider: Any = redact_provider(bench.provider(), bench.redact)
    dialect.record("verify", provider.verify)
    dialect.record("find_model", lambda: provider.find_model(bench.base_model))
    dialect.record("list_models", provider.list_models)
    uploaded = dialect.record("upload_file", lambda: provider.upload_file(bench.file(), bench.deadline()))
    bench.now += 10
    dialect.record("get_file", lambda: provider.get_file(uploaded.id))
    dialect.record("find_file", lambda: provider.find_file(bench.file()))
    order = bench.order(uploaded)
    job = dialect.record("create_job", lambda: provider.create_job(order, bench.deadline()))
    _record_job(dialect, bench, provider, order, job.id)
    return dialect


def _record_job(dialect: RecordedDialect, bench: ProviderBench, provider: Any, order: JobOrder, job_id: str) -> None:
    dialect.record("get_job while it runs", lambda: provider.get_job(job_id))
    dialect.record("cancel_job", lambda: provider.cancel_job(job_id))
    # Another one that is not cancelled, with its own tag.
    file = dialect.await_(bench.ready_file(provider, tag="fedcba9876543210.0"))
    other = bench.order(file, "fedcba9876543210.0")
    done = dialect.await_(provider.create_job(other, bench.deadline()))
    bench.now += 1_000
    dialect.record("get_job at its end", lambda: provider.get_job(done.id))
    dialect.record("find_jobs", lambda: provider.find_jobs(other))
    dialect.record("events", lambda: provider.events(done.id))
    dialect.record("losses", lambda: provider.losses(done.id, 0))
    if provider.capabilities.checkpoints:
        dialect.record("checkpoints", lambda: provider.checkpoints(done.id))
    if provider.capabilities.has_quotes:
        dialect.record("quote", lambda: provider.quote(order))
    if provider.capabilities.moderation:
        dialect.record("moderate", lambda: provider.moderate(["a text", "another"]))
    dialect.record("delete_file", lambda: provider.delete_file(order.training_file))
    _record_chat(dialect, bench, provider)


def _record_chat(dialect: RecordedDialect, bench: ProviderBench, provider: Any) -> None:
    answer = httpx2.Response(200, json=CHAT_ANSWERS.get(bench.name, COMPLETION), headers={"x-request-id": "req-1"})
    address = ModelAddress(base_url=bench.base_url, model="projects/1/locations/r/endpoints/2")
    exchange = Exchange(("POST", ""), answer)
    dialect.calls["ask"] = (lambda: provider.ask(address, QUESTION, frozenset()), [exchange])
    dialect.calls["ask first"] = (lambda: provider.ask(address, QUESTION, None), [exchange])


def record_parts(folder: Path) -> RecordedDialect:
    """Record an upload in parts."""
    bench = SmallBench(folder)
    dialect = RecordedDialect("parts")
    dialect.use(bench)
    provider: Any = redact_provider(bench.provider(), bench.redact)
    dialect.record("upload_file", lambda: provider.upload_file(bench.file(), bench.deadline()))
    return dialect


def record_tokens(folder: Path) -> RecordedDialect:
    """Record a call whose token is obtained before. Each call obtains a token of its own."""
    bench = TokenBench(folder)
    dialect = RecordedDialect("tokens")
    dialect.use(bench)
    document = bench.tokens.create_key()
    dialect.record("verify", lambda: bench.connected(document).verify())
    return dialect


def record_deployments(folder: Path, number: int) -> RecordedDialect:
    """Record the calls about deployments of the bench with this number."""
    bench = list_benches()[number](folder)
    dialect = RecordedDialect(f"{bench.inner.name}-deployments")
    dialect.use(bench.inner)
    provider: Any = redact_provider(bench.provider(), bench.inner.redact)
    dialect.record("list_deployment_options", lambda: provider.list_deployment_options(bench.inner.base_model))
    order = dialect.await_(bench.order(provider))
    made = dialect.record("create_deployment", lambda: provider.create_deployment(order, bench.deadline()))
    bench.now += bench.start_seconds
    remote = dialect.record("get_deployment", lambda: provider.get_deployment(made.id))
    dialect.record("find_deployments", lambda: provider.find_deployments(order))
    dialect.record("list_own_deployments", provider.list_own_deployments)
    dialect.record("call_deployment", lambda: provider.call_deployment(remote))
    dialect.record("remove_deployment", lambda: provider.remove_deployment(remote))
    return dialect


def list_recorders() -> dict[str, Callable[[Path], RecordedDialect]]:
    """Return the function that records each group of calls, by its name."""
    jobs = {str(bench.name): (lambda folder, bench=bench: record_jobs(bench(folder))) for bench in BENCHES}
    deployments = {
        f"{bench.provider_bench.name}-deployments": (lambda folder, number=number: record_deployments(folder, number))
        for number, bench in enumerate(list_benches())
    }
    return {**jobs, **deployments, "parts": record_parts, "tokens": record_tokens}
