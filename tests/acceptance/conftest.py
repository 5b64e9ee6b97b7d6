"""One sandbox for all tests, emptied before each; one deployment a test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from processes import Sandbox, Site


@pytest.fixture(scope="session")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    sandbox = Sandbox(tmp_path_factory.mktemp("sandbox"))
    yield sandbox
    sandbox.stop()


@pytest.fixture
def sandbox(provider: Sandbox) -> Sandbox:
    provider.clear()
    return provider


@pytest.fixture
def site(tmp_path: Path, sandbox: Sandbox) -> Iterator[Site]:
    site = Site(tmp_path, sandbox.url)
    yield site
    site.close()
