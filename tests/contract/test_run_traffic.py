"""Every request of a run, and every answer of the sandbox, as they cross the wire, against the published contract."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import openai
import pytest
import uvicorn
from machine_speed import scale_seconds
from openapi import Contract, Exchange, Recorder
from sandboxes import MODEL, training_file
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestrator import control
from orchestrator.app import App, open_app
from orchestrator.core.secret import Redactor
from orchestrator.sandbox import Fault, SandboxSettings, create_app
from orchestrator.settings import load_settings
from orchestrator.status import StatusSnapshot

CHATS = Path(__file__).resolve().parents[2] / "chats"
RUN = f"""\
[run]
name = "traffic"
validation_fraction = 0.5
seed = 7
suffix = "tone"
[run.openai]
base_model = "{MODEL}"
n_epochs = 2
batch_size = 1
learning_rate_multiplier = 0.5
"""
ACCOUNTS = ("fine", "wrong", "forbidden", "failing", "refused", "cancelled", "rough", "paged")
FAULTS = (
    Fault("forbidden", accounts=("forbidden",)),
    Fault("fail_job", accounts=("failing",), code="diverged", message="The loss diverged."),
    Fault("reject_file", accounts=("refused",), message="Not these chats."),
    Fault("fail_job", accounts=("cancelled",), seconds=600),  # it runs until it is cancelled
    Fault("server_error", accounts=("rough",), operations=("files.create",), times=1),
    Fault("server_error", accounts=("rough",), operations=("jobs.create",), times=1),
    Fault("rate_limit", accounts=("rough",), operations=("*.retrieve",), times=2, seconds=0.1),
    Fault("file_not_ready"),  # no account's job is created before its files are processed
    Fault("page_size", accounts=("paged",)),
    Fault("ignore_metadata_filter", accounts=("paged",)),
)
QUICK = SandboxSettings(
    file_seconds=0.1, validating_seconds=0.1, queue_seconds=0.1, training_seconds=0.3, faults=FAULTS
)


class Wire:
    """An application whose messages are recorded as they come in and go out."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.recorder = Recorder()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        body = await _body(receive)  # all of it: the sandbox may answer without reading it
        told: list[Message] = []
        waiting: list[Message] = [{"type": "http.request", "body": body}]

        async def hear() -> Message:
            return waiting.pop() if waiting else await receive()

        async def say(message: Message) -> None:
            told.append(message)
            await send(message)

        await self._app(scope, hear, say)
        self.recorder.exchanges.append(_exchange(scope, body, told))
        return None


async def _body(receive: Receive) -> bytes:
    body = b""
    while (message := await receive())["type"] == "http.request":
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    return body


def _exchange(scope: Scope, body: bytes, told: list[Message]) -> Exchange:
    return Exchange(
        method=scope["method"],
        url=f"{scope['path']}?{scope['query_string'].decode()}",
        request_type=_header(scope["headers"], b"content-type"),
        request_body=body,
        status=told[0]["status"],
        answer_type=_header(told[0]["headers"], b"content-type"),
        answer_body=b"".join(message.get("body", b"") for message in told[1:]),
    )


def _header(headers: Any, name: bytes) -> str:
    return next((value.decode() for key, value in headers if key == name), "")


@pytest.fixture
def wire() -> Wire:
    return Wire(create_app(QUICK))


@pytest.fixture
async def url(wire: Wire) -> AsyncIterator[str]:
    """The recorded sandbox on a real port."""
    server = uvicorn.Server(uvicorn.Config(wire, port=0, lifespan="on", log_config=None))
    serving = asyncio.create_task(server.serve())
    for _ in range(1000):
        await asyncio.sleep(0.01)
        if server.started:
            break
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}/v1"
    server.should_exit = True
    await serving


async def test_every_message_of_a_run_matches_the_contract(wire: Wire, url: str, tmp_path: Path) -> None:
    contract = Contract.load("openai.openapi.json")
    await two_strange_jobs(url, "paged")
    async with running_service(tmp_path, url) as app:
        await eventually(app, lambda status: state(status, "cancelled") == "running")
        await control.cancel(app.database, ["cancelled"], by="test", now=app.clock.now())
        ended = await eventually(app, lambda status: status.settled)
    assert {name: state(ended, name) for name in ACCOUNTS} == {
        "fine": "succeeded",
        "wrong": "planned",
        "forbidden": "submitting",
        "failing": "failed",
        "refused": "failed",
        "cancelled": "cancelled",
        "rough": "succeeded",
        "paged": "succeeded",
    }
    assert wire.recorder.problems(contract) == []
    assert [e.url for e in wire.recorder.exchanges if b'"file_not_ready"' in e.answer_body] == []
    assert set(wire.recorder.operations(contract)) >= {
        "listModels",
        "createFile",
        "listFiles",
        "retrieveFile",
        "createFineTuningJob",
        "listPaginatedFineTuningJobs",
        "retrieveFineTuningJob",
        "cancelFineTuningJob",
        "listFineTuningEvents",
    }
    assert {exchange.status for exchange in wire.recorder.exchanges} >= {200, 401, 403, 429, 500}
    paths = {exchange.url.partition("?")[0] for exchange in wire.recorder.exchanges if "after=" in exchange.url}
    assert paths >= {"/v1/files", "/v1/fine_tuning/jobs"}


async def two_strange_jobs(url: str, account: str) -> None:
    """Somebody else's jobs in an account: a look-up has to go through them."""
    async with openai.AsyncOpenAI(api_key=f"sandbox-{account}", base_url=url, max_retries=0) as client:
        file = await client.files.create(file=("theirs.jsonl", training_file()), purpose="fine-tune")
        await client.files.wait_for_processing(file.id, poll_interval=0.05)
        for _ in range(2):
            await client.fine_tuning.jobs.create(model=MODEL, training_file=file.id)


@asynccontextmanager
async def running_service(folder: Path, url: str) -> AsyncIterator[App]:
    """The program at work on an accounts file in `folder`."""
    chats = folder / "chats"
    shutil.copytree(CHATS, chats)
    for number in range(10):
        chat = [{"role": "user", "content": f"{number}?"}, {"role": "assistant", "content": f"{number}!"}]
        (chats / f"more-{number}.json").write_text(json.dumps(chat))
    lines = [RUN]
    for name in ACCOUNTS:
        (folder / f"{name}.key").write_text("nobodys-key" if name == "wrong" else f"sandbox-{name}")
        lines += ["[[accounts]]", f'name = "{name}"', 'provider = "openai"', f'api_key = "file:{name}.key"']
        lines += [f'base_url = "{url}"', f'organization = "org-{name}"', f'project = "proj_{name}"']
    (folder / "accounts.toml").write_text("\n".join(lines))
    settings = load_settings(
        {
            "ORCHESTRATOR_ACCOUNTS_FILE": str(folder / "accounts.toml"),
            "ORCHESTRATOR_DATA_DIR": str(folder / "data"),
            "ORCHESTRATOR_POLL_MIN_SECONDS": "0.05",
            "ORCHESTRATOR_INTENT_SECONDS": "1",
        }
    )
    async with open_app(settings, Redactor()) as app:
        service = app.create_service(start=True, observer=app.metrics)
        await service.start()
        try:
            yield app
        finally:
            await service.stop()


async def eventually(app: App, condition: Callable[[StatusSnapshot], bool]) -> StatusSnapshot:
    end = time.perf_counter() + scale_seconds(60)
    while time.perf_counter() < end:
        status = await app.read_status()
        if condition(status):
            return status
        await asyncio.sleep(0.05)
    raise AssertionError(f"not in time: {status}")


def state(status: StatusSnapshot, account: str) -> str:
    return next(str(job.state) for job in status.jobs if job.account == account)
