"""One fork server and one sandbox for all tests; one deployment a test. One browser and one served dashboard."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from browser import TIMEOUT_MILLISECONDS, PageOpener, WatchedPage, chromium
from fork_server import ADDRESS_VARIABLE, ForkServer
from longest_first import create_scheduler, sort_longest_first
from playwright.async_api import Browser, BrowserContext
from processes import SandboxProcess, Site, clean_environ
from served_dashboard import FIVE_STANDINGS, ServedDashboard, five_jobs


def pytest_configure(config: pytest.Config) -> None:
    """Start one fork server for the session and all its workers; they find its address in the environment."""
    if sys.platform == "linux" and ADDRESS_VARIABLE not in os.environ:
        server = ForkServer(clean_environ())
        os.environ[ADDRESS_VARIABLE] = server.address
        config.add_cleanup(server.close)
        config.add_cleanup(_forget_address)


def _forget_address() -> None:
    del os.environ[ADDRESS_VARIABLE]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    sort_longest_first(items)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    return create_scheduler(config, log) if config.option.dist == "loadgroup" else None


@pytest.fixture(scope="session")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    sandbox = SandboxProcess(tmp_path_factory.mktemp("sandbox"))
    yield sandbox
    sandbox.stop()


@pytest.fixture
def sandbox(provider: SandboxProcess) -> SandboxProcess:
    provider.clear()
    return provider


@pytest.fixture
def site(tmp_path: Path, sandbox: SandboxProcess) -> Iterator[Site]:
    site = Site(tmp_path, sandbox.url)
    yield site
    site.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as browser:
        yield browser


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ServedDashboard]:
    async with ServedDashboard(tmp_path_factory.mktemp("dashboard")) as dashboard:
        yield dashboard


@pytest_asyncio.fixture(loop_scope="session")
async def dashboard(served: ServedDashboard) -> ServedDashboard:
    """Five accounts on their way."""
    await served.replace_run(five_jobs(), FIVE_STANDINGS)
    return served


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def context(browser: Browser, served: ServedDashboard) -> AsyncIterator[BrowserContext]:
    context = await browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    context.set_default_timeout(TIMEOUT_MILLISECONDS)
    await (await context.new_page()).goto(f"{served.url}/static/style.css")  # keeps the site's process alive
    yield context
    await context.close()


@pytest_asyncio.fixture(loop_scope="session")
async def opener(context: BrowserContext) -> AsyncIterator[PageOpener]:
    """Opens pages for one test."""
    opener = PageOpener(context)
    yield opener
    await opener.forget()


@pytest_asyncio.fixture(loop_scope="session")
async def watched(opener: PageOpener) -> AsyncIterator[WatchedPage]:
    """A page on which nothing may go wrong, and which may speak to this machine only."""
    watched = WatchedPage(await opener.open(1200, 900))
    yield watched
    await opener.forget()
    assert watched.errors == []
    assert watched.hosts == {"127.0.0.1"}
