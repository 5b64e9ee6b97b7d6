"""A reload that fails, for whatever reason, is shown with what is wrong and changes nothing."""

from __future__ import annotations

from collections.abc import Collection
from types import SimpleNamespace
from typing import Any, cast

import pytest
import structlog

from orchestrator.core.config_refusal import ConfigRefusal
from orchestrator.core.errors import DatabaseUnavailable
from orchestrator.core.secret import Redactor
from orchestrator.daemon.service import AppliedFile, Service


def service(error: Exception) -> Service:
    async def converge(_only: Collection[str] | None) -> AppliedFile:
        raise error

    async def set_refusal(refusal: ConfigRefusal | None) -> None:
        pass

    unused = cast(Any, None)
    return Service(
        converge=converge,
        signature=lambda: "as it is",
        dataset_watcher=None,
        dispatch=unused,
        reconciler=unused,
        heartbeat=cast(Any, SimpleNamespace(set_refusal=set_refusal)),
        delivery_worker=unused,
        scheduler=unused,
        now=lambda: 100.0,
        redact=Redactor(),
        log=structlog.get_logger(),
    )


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (PermissionError(13, "Permission denied", "accounts.toml"), "Permission denied"),
        (ValueError("sk-a-key-that-was-read"), "ValueError"),
        (RecursionError(), "RecursionError"),
        (UnicodeEncodeError("ascii", "é", 0, 1, "no"), "UnicodeEncodeError"),
    ],
)
async def test_unexpected_error_is_shown(error: Exception, why: str) -> None:
    failing = service(error)

    await failing.reload()

    assert failing.problem is not None
    assert failing.problem.failure.message == f"the accounts file or the dataset could not be read: {why}"
    assert "sk-a-key" not in failing.problem.failure.hint


async def test_database_outage_is_not_a_reload_error() -> None:
    failing = service(DatabaseUnavailable("away"))

    await failing.reload()

    assert failing.problem is None
