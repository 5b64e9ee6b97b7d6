"""Printed URLs are valid, also for IPv6, and the sandbox suggests valid addresses."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest

from orchestrator.cli.exit_code import ExitCode
from orchestrator.cli.handlers import sandbox
from orchestrator.cli.session import format_base_url

QUICK: dict[str, Any] = {"state": None, "faults": None, "webhooks": None, "seconds": 1.0, "seed": 0}


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "2001:db8::1", "0.0.0.0", "::"])
def test_the_host_and_the_port_are_read_back(host: str) -> None:
    parts = urlsplit(format_base_url(host, 8080))
    assert (parts.hostname, parts.port, parts.path) == (host, 8080, "")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_sandbox_prints_addresses_that_it_accepts(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert sandbox.run_sandbox(host, 0, **QUICK) == ExitCode.USAGE
    error = capsys.readouterr().err
    assert error.startswith(
        f"error: the sandbox listens on this machine only, and {host} is not a loopback address: "
    )
    assert "--host 127.0.0.1 or --host ::1" in error
