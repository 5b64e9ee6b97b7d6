"""One fork server and one sandbox for all tests; one deployment a test. One browser and one served dashboard."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from browser import WatchedPage, chromium, open_page
from fork_server import ADDRESS_VARIABLE, ForkServer
from playwright.async_api import Browser
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


@pytest_asyncio.fixture(loop_scope="session")
async def watched(browser: Browser) -> AsyncIterator[WatchedPage]:
    """A page on which nothing may go wrong, and which may speak to this machine only."""
    page = await open_page(browser, viewport={"width": 1200, "height": 900})
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    watched = WatchedPage(page)
    yield watched
    await page.context.close()
    assert watched.errors == []
    assert watched.hosts == {"127.0.0.1"}
