"""A run of several accounts at a sandbox, whose fine-tuned models are compared."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx2
from store_values import NOW, RUN, a_job, fill

from orchestrator.core.account import Account, ProviderName
from orchestrator.core.comparison.comparison import Comparison, ComparisonSettings
from orchestrator.core.comparison.probe import Probe
from orchestrator.core.dataset import Dataset, DatasetPart
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.secret import Redactor, Secret
from orchestrator.daemon.comparisons.comparison_planner import plan_comparison
from orchestrator.daemon.comparisons.comparison_result import ComputeResult, ResultRequest, compute_document
from orchestrator.daemon.comparisons.comparison_runner import ComparisonRunner
from orchestrator.daemon.comparisons.probe_source import load_probes
from orchestrator.inputs.prices import load_prices
from orchestrator.providers.base import ProviderConnection
from orchestrator.providers.http.client import HttpClient
from orchestrator.providers.registry import ProviderRegistry
from orchestrator.sandbox import SandboxSettings, create_app
from orchestrator.store.db.database import Database
from orchestrator.store.queries.comparisons import comparison_records

URL = "http://localhost/v1"
ACCOUNTS = ("acme-eu", "acme-us", "globex")
INPUT_USD, OUTPUT_USD = 0.8e-6, 3.2e-6  # of a token of sandbox-small


def write_part(folder: Path, numbers: range, build_line: Callable[[int], bytes]) -> DatasetPart:
    """Write a part of a dataset, with a line for each number."""
    content = b"".join(map(build_line, numbers))
    path = folder / f"{numbers.start}.jsonl"
    path.write_bytes(content)
    digest = sha256(content).hexdigest()
    return DatasetPart(path=path, sha256=digest, bytes=len(content), examples=len(numbers), tokens=None)


async def compute_in_thread(request: ResultRequest) -> dict[str, Any]:
    return await asyncio.to_thread(compute_document, request)


class KilledProcess(Exception):
    """Ends a runner in the middle, as a kill does: no clean-up of its own runs."""


@dataclass
class Question:
    """A request of a chat completion that the sandbox answered."""

    account: str
    model: str
    messages: str
    status: int
    usage: Mapping[str, int]


@dataclass(eq=False)
class CountingSandbox(httpx2.AsyncBaseTransport):
    """A sandbox that records the questions. The next ones get `failures`.

    After `kill_after` of them it kills, and after `pause_after` it answers no more.
    """

    now: float = NOW
    questions: list[Question] = field(default_factory=list)
    kill_after: int | None = None
    pause_after: int | None = None
    paused: asyncio.Event = field(default_factory=asyncio.Event)
    failures: list[httpx2.Response] = field(default_factory=list)
    added_messages: dict[str, str] = field(default_factory=dict)  # system message that a gateway adds, by account

    def __post_init__(self) -> None:
        self.app = create_app(SandboxSettings(), clock=lambda: self.now)
        self._inner = httpx2.ASGITransport(self.app)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if not request.url.path.endswith("/chat/completions"):
            return await self._inner.handle_async_request(request)
        if self.pause_after is not None and len(self.questions) >= self.pause_after:
            self.paused.set()
            await asyncio.Event().wait()
        if self.kill_after == 0:
            raise KilledProcess
        if self.kill_after is not None:
            self.kill_after -= 1
        if self.failures:
            return self.failures.pop()
        body = json.loads(request.content)
        account = request.headers["authorization"].removeprefix("Bearer sandbox-")
        if account in self.added_messages:
            system = {"role": "system", "content": self.added_messages[account]}
            request = _copy_request(request, {**body, "messages": [system, *body["messages"]]})
        response = await self._inner.handle_async_request(request)
        content = json.loads(await response.aread())
        usage = content.get("usage", {})
        self.questions.append(
            Question(account, body["model"], json.dumps(body["messages"]), response.status_code, usage)
        )
        return httpx2.Response(response.status_code, json=content)

    def count_usd(self) -> float:
        """Return what the answered questions cost."""
        return sum(
            each.usage["prompt_tokens"] * INPUT_USD + each.usage["completion_tokens"] * OUTPUT_USD
            for each in self.questions
            if each.usage
        )


def _copy_request(request: httpx2.Request, body: Mapping[str, Any]) -> httpx2.Request:
    headers = {name: value for name, value in request.headers.items() if name != "content-length"}
    return httpx2.Request(request.method, request.url, headers=headers, json=body)


class ComparisonBench:
    """The database, the dataset and the sandbox of one comparison. Time passes only while the runner sleeps."""

    def __init__(self, database: Database, dataset: Dataset) -> None:
        self.database = database
        self.dataset = dataset
        self.sandbox = CountingSandbox()
        self.base_models: dict[str, str] = {}  # by account, where it is not sandbox-small
        self.training_shares: dict[str, float] = {}  # by account, where it is not the whole dataset
        self.settings = ComparisonSettings(probes=40, max_output_tokens=64, behaviour_probes=False)
        self.accounts = {
            name: Account(name=name, provider=ProviderName.OPENAI_COMPATIBLE, api_key="env:KEY", base_url=URL)
            for name in ACCOUNTS
        }
        http = HttpClient(self.sandbox)
        factory = ProviderRegistry(http, Redactor()).get_factory(ProviderName.OPENAI_COMPATIBLE)
        self.connections = {
            name: ProviderConnection(account, "12345678", factory(account, Secret(f"sandbox-{name}")))
            for name, account in self.accounts.items()
        }

    @property
    def now(self) -> float:
        return self.sandbox.now

    async def sleep(self, seconds: float) -> None:
        self.sandbox.now += seconds
        await asyncio.sleep(0)

    async def set_answers(self, *behaviours: Mapping[str, Any]) -> None:
        async with self._client("admin") as client:
            response = await client.put("http://localhost/sandbox/answers", json={"answers": list(behaviours)})
            assert response.status_code == 200, response.text

    async def train(self, account: str) -> str:
        """Train a model in an account, and return its id."""
        async with self._client(account) as client:
            lines = self.dataset.training.path.read_bytes().splitlines(keepends=True)
            content = b"".join(lines[: int(len(lines) * self.training_shares.get(account, 1.0))])
            files = {"file": ("chats.jsonl", content)}
            base_model = self.base_models.get(account, "sandbox-small")
            file = (await client.post("/files", data={"purpose": "fine-tune"}, files=files)).json()
            self.sandbox.now += 10
            job = (
                await client.post("/fine_tuning/jobs", json={"model": base_model, "training_file": file["id"]})
            ).json()
            self.sandbox.now += 1_000
            return str((await client.get(f"/fine_tuning/jobs/{job['id']}")).json()["fine_tuned_model"])

    async def plan(self) -> Comparison:
        """Store a new comparison of the models, which are trained once."""
        if not hasattr(self, "_jobs"):
            self._jobs = [
                a_job(
                    name,
                    provider=ProviderName.OPENAI_COMPATIBLE,
                    state=JobState.SUCCEEDED,
                    wake_at=None,
                    fine_tuned_model=await self.train(name),
                    servable=True,
                )
                for name in ACCOUNTS
            ]
            await fill(self.database, self._jobs)
        prices = load_prices()
        comparison = plan_comparison(
            RUN,
            self._jobs,
            list(self.probes.values()),
            self.settings,
            accounts=self.accounts,
            deployments={},
            find_price=lambda _, model: prices.find_inference("openai", model),
            now=self.now,
            cause="operator:ada",
        )
        await self.database.write(lambda tx: comparison_records.add(tx, comparison))
        return comparison

    def create_runner(self, owner: str = "one", *, compute: ComputeResult | None = None) -> ComparisonRunner:
        """Create the runner of a process. The verdicts are computed in a thread: a process takes half a second."""
        return ComparisonRunner(
            self.database,
            self.connections,
            owner=owner,
            now=lambda: self.now,
            sleep=self.sleep,
            compute=compute or compute_in_thread,
        )

    async def run(self, comparison: Comparison, owner: str = "one") -> Comparison:
        return await self.create_runner(owner).run(comparison.id, self.probes, cause="operator:ada")

    @property
    def probes(self) -> dict[str, Probe]:
        return {probe.probe_id: probe for probe in load_probes(self.dataset, self.settings)}

    async def list_answers(self, comparison: Comparison) -> list[comparison_records.StoredAnswer]:
        async with self.database.read() as connection:
            return await comparison_records.list_answers(connection, comparison.id)

    @asynccontextmanager
    async def _client(self, account: str) -> AsyncIterator[httpx2.AsyncClient]:
        headers = {"authorization": f"Bearer sandbox-{account}"}
        async with httpx2.AsyncClient(transport=self.sandbox, base_url=URL, headers=headers) as client:
            yield client
