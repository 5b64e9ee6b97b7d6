"""Sandboxes for tests: on a real port, or in-process with a clock that stands still until it is moved."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2

from orchestrator.sandbox import SandboxSettings, create_app, serve

MODEL = "sandbox-small"
START = 1_800_000_000.0


def training_file(examples: int = 12) -> bytes:
    """A training file with nothing wrong in it."""
    rows = (
        {"messages": [{"role": "user", "content": f"What is {n}?"}, {"role": "assistant", "content": f"It is {n}."}]}
        for n in range(examples)
    )
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


PROGRAM = """
import asyncio, sys
from pathlib import Path
from orchestrator.sandbox import SandboxSettings, serve
settings = SandboxSettings(state=Path(sys.argv[1]), file_seconds=0, validating_seconds=0, queue_seconds=0)
asyncio.run(serve("127.0.0.1", 0, settings, lambda port: print(port, flush=True)))
"""


@contextmanager
def process(state: Path) -> Iterator[tuple[int, str]]:
    """A sandbox in a process of its own, ended by SIGKILL; gives its process id and base URL, without /v1."""
    child = subprocess.Popen([sys.executable, "-c", PROGRAM, str(state)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    with child.stdout:
        try:
            yield child.pid, f"http://127.0.0.1:{int(child.stdout.readline())}"
        finally:
            child.kill()
            child.wait()


@asynccontextmanager
async def serving(settings: SandboxSettings) -> AsyncIterator[str]:
    """A sandbox on a free port; gives its base URL, without /v1."""
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(serve("127.0.0.1", 0, settings, port.set_result))
    try:
        yield f"http://127.0.0.1:{await port}"
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


class InProcess:
    """A sandbox without a port. Its time is `now`."""

    def __init__(self, settings: SandboxSettings | None = None) -> None:
        self.now = START
        self.app = create_app(settings or SandboxSettings(), clock=lambda: self.now)

    def client(self, account: str = "acme") -> httpx2.AsyncClient:
        return httpx2.AsyncClient(
            transport=httpx2.ASGITransport(self.app),
            base_url="http://sandbox/v1",
            headers={"authorization": f"Bearer sandbox-{account}"},
        )

    async def upload(
        self, client: httpx2.AsyncClient, content: bytes | None = None, fields: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        content = training_file() if content is None else content
        answer = await client.post(
            "/files", data={"purpose": "fine-tune", **(fields or {})}, files={"file": ("chats.jsonl", content)}
        )
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    async def ready_file(self, client: httpx2.AsyncClient, content: bytes | None = None) -> str:
        """An uploaded file, after the time its processing takes."""
        file = await self.upload(client, content)
        self.now += 1
        return str(file["id"])

    async def start(self, client: httpx2.AsyncClient, **options: Any) -> dict[str, Any]:
        """A job on a ready file."""
        file = options.pop("training_file", None) or await self.ready_file(client)
        answer = await client.post("/fine_tuning/jobs", json={"model": MODEL, "training_file": file, **options})
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    async def put_faults(self, *faults: dict[str, Any]) -> None:
        async with self.client() as client:
            answer = await client.put("http://sandbox/sandbox/faults", json={"faults": list(faults)})
            assert answer.status_code == 200, answer.text

    async def state(self) -> dict[str, Any]:
        async with self.client() as client:
            body: dict[str, Any] = (await client.get("http://sandbox/sandbox/state")).json()
            return body


async def get(client: httpx2.AsyncClient, path: str, **query: str | int) -> Any:
    """The JSON of a successful GET."""
    answer = await client.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()
