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

TIMEOUT_MILLISECONDS = scale_seconds(60) * 1000  # milliseconds
expect.set_options(timeout=TIMEOUT_MILLISECONDS)

ARTIFACTS = Path(__file__).parents[3] / "test-artifacts"
CHROMIUM_FLAGS = [
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
        flags = [*CHROMIUM_FLAGS, "--no-sandbox"] if os.geteuid() == 0 else CHROMIUM_FLAGS
        browser = await playwright.chromium.launch(
            executable_path=path, args=flags, timeout=TIMEOUT_MILLISECONDS, env={**todays_environ()}
        )
        yield browser
        await browser.close()


async def open_page(browser: Browser, **options: Any) -> Page:
    """A page in a context of its own."""
    context = await browser.new_context(**options)
    context.set_default_timeout(TIMEOUT_MILLISECONDS)
    return await context.new_page()


class WatchedPage:
    """A page, with what it asked for and what went wrong in it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.errors: list[str] = []
        self.hosts: set[str] = set()
        self.answers: list[tuple[str, int]] = []
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", self._on_request)
        page.on("response", self._on_response)

    def count_polls(self, *status: int) -> int:
        """How many answers to the page or its polls had one of these statuses."""
        return sum(path == "/" and code in status for path, code in self.answers)

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.errors.append(message.text)

    def _on_request(self, request: Request) -> None:
        self.hosts.add(urlsplit(request.url).hostname or "")

    def _on_response(self, response: Response) -> None:
        self.answers.append((urlsplit(response.url).path, response.status))
