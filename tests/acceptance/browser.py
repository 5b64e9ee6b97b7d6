"""A real browser, and a page of it that is watched."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from clock import todays_environ
from machine_speed import scale_seconds
from playwright.async_api import Browser, ConsoleMessage, Page, Request, Response, async_playwright, expect

LONGEST = scale_seconds(60) * 1000  # milliseconds
expect.set_options(timeout=LONGEST)

ARTIFACTS = Path(__file__).parents[2] / "test-artifacts"
FLAGS = [
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """The system's Chromium, else Playwright's own; without any, the test is skipped."""
    async with async_playwright() as playwright:
        path = shutil.which("chromium") or playwright.chromium.executable_path
        if not Path(path).exists():  # noqa: ASYNC240 - nothing else runs yet
            pytest.skip("no Chromium: install your system's, or run `.venv/bin/playwright install chromium`")
        flags = [*FLAGS, "--no-sandbox"] if os.geteuid() == 0 else FLAGS
        browser = await playwright.chromium.launch(
            executable_path=path, args=flags, timeout=LONGEST, env={**todays_environ()}
        )
        yield browser
        await browser.close()


async def open_page(browser: Browser, **options: Any) -> Page:
    """A page in a context of its own."""
    context = await browser.new_context(**options)
    context.set_default_timeout(LONGEST)
    return await context.new_page()


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

    def polls(self, *status: int) -> int:
        """How many answers to the page or its polls had one of these statuses."""
        return sum(path == "/" and code in status for path, code in self.answers)

    def _heard(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.wrong.append(message.text)

    def _asked(self, request: Request) -> None:
        self.hosts.add(urlsplit(request.url).hostname or "")

    def _answered(self, response: Response) -> None:
        self.answers.append((urlsplit(response.url).path, response.status))
