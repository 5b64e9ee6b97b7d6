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
from axe_playwright_python.async_playwright import Axe
from clock import todays_environ
from machine_speed import scale_seconds
from playwright.async_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    Response,
    async_playwright,
    expect,
)

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


class PageOpener:
    """Opens pages in one context that all tests of a worker share: one for each test would cost 0.7 s of CPU.

    A page starts without cookies and without anything that an earlier page has stored.
    """

    def __init__(self, context: BrowserContext) -> None:
        self._context = context
        self._opened: list[Page] = []

    async def open(self, width: int = 1280, height: int = 720, *, color_scheme: Any = None) -> Page:
        page = await self._context.new_page()
        self._opened.append(page)
        await page.set_viewport_size({"width": width, "height": height})
        if color_scheme is not None:
            await page.emulate_media(color_scheme=color_scheme)
        return page

    async def forget(self) -> None:
        """Close all pages and delete what they have stored."""
        for page in self._opened:
            if page.url.startswith("http"):
                storage = {"origin": "{0.scheme}://{0.netloc}".format(urlsplit(page.url)), "storageTypes": "all"}
                await (await self._context.new_cdp_session(page)).send("Storage.clearDataForOrigin", storage)
            await page.close()
        self._opened.clear()
        await self._context.clear_cookies()


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


async def find_accessibility_faults(page: Page) -> list[str]:
    """What axe-core finds that is serious."""
    found = (await Axe().run(page)).response["violations"]
    return [
        f"{each['id']}: {node['target']} {node['failureSummary']}"
        for each in found
        if each["impact"] in {"serious", "critical"}
        for node in each["nodes"]
    ]
