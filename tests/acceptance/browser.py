"""A real browser, and a dashboard on a free port whose run a test changes as it goes on."""

from __future__ import annotations

import os
import shutil
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, ConsoleMessage, Page, Request, Response, async_playwright, expect

from orchestrator.core.errors import Failure
from orchestrator.core.token import Role, Token, hash_of
from orchestrator.status import Health, JobView, RunView, Status, look
from orchestrator.web.api import create_web
from orchestrator.web.program import Program
from orchestrator.web.server import WebServer

expect.set_options(timeout=20_000)  # polls come every 2 seconds, and the machine may be busy

ARTIFACTS = Path(__file__).parents[2] / "test-artifacts"
FLAGS = [
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
BASE_MODEL = "gpt-4.1-mini-2025-04-14"
NOT_ALLOWED = Failure(
    "training_not_allowed",
    "You are not allowed to create fine-tuning jobs in project proj_7Hc0.",
    "Ask the account's owner for permission to train; then `orchestrator release` it.",
)


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """The system's Chromium, else Playwright's own; without any, the test is skipped."""
    async with async_playwright() as playwright:
        path = shutil.which("chromium") or playwright.chromium.executable_path
        if not Path(path).exists():  # noqa: ASYNC240 - nothing else runs yet
            pytest.skip("no Chromium: install your system's, or run `.venv/bin/playwright install chromium`")
        flags = [*FLAGS, "--no-sandbox"] if os.geteuid() == 0 else FLAGS
        browser = await playwright.chromium.launch(executable_path=path, args=flags)
        yield browser
        await browser.close()


class Dashboard:
    """The service's web room without the service: its run is the attribute `status`."""

    def __init__(self, *, token: str | None = None) -> None:
        self.status = run_of(five_accounts())
        self._tokens = [_token(token)] if token else []
        self._app = create_web(
            Program(
                now=self._now,
                call=self._call,
                health=self._feel,
                tokens=self._every_token,
                token_used=_nothing,
                session_key=b"of the tests",
                hear=_deaf,
            )
        )
        self._port = 0
        self._server: WebServer | None = None
        self.time = time.time()  # noqa: TID251 - a session's cookie ends by the browser's clock
        self.url = ""

    async def __aenter__(self) -> Dashboard:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Serve; after a stop, on the same port."""
        self._server = WebServer(self._app, "127.0.0.1", self._port)
        self._port = await self._server.start()
        self.url = f"http://127.0.0.1:{self._port}"

    async def stop(self) -> None:
        if self._server:
            await self._server.stop()

    def change(self, account: str, **values: Any) -> None:
        """One job of the run is another one from now on."""
        jobs = [replace(job, **values) if job.account == account else job for job in self.status.jobs]
        self.status = run_of(jobs)

    async def _call(self, ask: Callable[..., Any], /, *_: Any, **__: Any) -> Any:
        assert ask is look, f"nobody asks for {ask.__name__} here"
        return self.status

    async def _feel(self) -> Health:
        return Health(database=True, ticking=True)

    async def _every_token(self) -> list[Token]:
        return self._tokens

    def _now(self) -> float:
        return self.time


def _token(text: str) -> Token:
    known: dict[str, Any] = {"created_at": 0.0, "created_by": "environment"}
    return Token(name="environment", role=Role.OPERATOR, hash=hash_of(text.encode()), **known)


async def _nothing(_: Token) -> None:
    pass


async def _deaf(account: str, headers: Mapping[str, str], body: bytes) -> bool:
    return False


class Watched:
    """A page, with what it asked for and what went wrong in it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.wrong: list[str] = []
        self.hosts: set[str] = set()
        self.answers: list[tuple[str, int]] = []
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("request", self._asked)
        page.on("response", self._answered)

    def polls(self, status: int) -> int:
        """How many answers to the page or its polls had this status."""
        return sum(path == "/" and code == status for path, code in self.answers)

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.wrong.append(message.text)

    def _asked(self, request: Request) -> None:
        self.hosts.add(urlsplit(request.url).hostname or "")

    def _answered(self, response: Response) -> None:
        self.answers.append((urlsplit(response.url).path, response.status))


def job(account: str, state: str, **values: Any) -> JobView:
    """A job whose other values are plain."""
    known: dict[str, Any] = dict.fromkeys(JobView.__dataclass_fields__)
    moment = time.time()  # noqa: TID251 - as above
    known |= {"provider": "openai", "base_model": BASE_MODEL, "labels": [], "job": account, "held": False}
    known |= {"attempts": 0, "round": 0, "hyperparameters": {}, "created_at": moment - 900, "estimated_usd": 0.62}
    return JobView(**known | {"account": account, "state": state, "state_since": moment - 290} | values)


def five_accounts() -> list[JobView]:
    """A run on its way: two models, one in training, one file being checked, one account that needs someone."""
    sent = {"submitted_at": time.time() - 600}  # noqa: TID251 - as above
    return [
        ready("acme-eu", "CZk4QpX1", "8Kq2vWmZr0aXcT4nYb71LpDs", labels=["eu"]),
        ready("acme-us", "CZk51mRu", "Qm81LsTzE6uJvHk0cNdRw3Gy", labels=["us"]),
        job(
            "globex", "running", labels=["eu"], remote_job_id="ftjob-3nVbYt7PqLs9WxJz2RfKd0Ha", progress=0.46, **sent
        ),
        job("initech", "processing", labels=["us"], remote_file_id="file-X2"),
        job("umbrella", "planned", labels=["apac"], held=True, error=NOT_ALLOWED),
    ]


def ready(account: str, model: str, remote: str, **values: Any) -> JobView:
    """A job that succeeded."""
    sent = {"submitted_at": time.time() - 600}  # noqa: TID251 - as above
    name = f"ft:{BASE_MODEL}:{account}:support:{model}"
    known: dict[str, Any] = {"fine_tuned_model": name, "remote_job_id": f"ftjob-{remote}", "servable": True}
    return job(account, "succeeded", **known | sent | values)


def run_of(jobs: list[JobView]) -> Status:
    """The whole picture of these jobs."""
    run = RunView(
        id="run",
        name="support-tone",
        dataset_sha256="9f2b41c7d05e8a36" * 4,
        examples=240,
        tokens=51_234,
        specs={"openai": {"base_model": BASE_MODEL, "method": "supervised", "n_epochs": 3}},
        started=True,
        approved_by=None,
        planned_usd=0.62 * len(jobs),
        holds=(),
        moderation=None,
        created_at=0,
    )
    return Status(run=run, jobs=tuple(jobs), counts=Counter("held" if each.held else each.state for each in jobs))
