"""A reload that fails, for whatever reason, is shown with what is wrong and changes nothing."""

from __future__ import annotations

from typing import Any, cast

import pytest
import structlog

from orchestrator.core.errors import ConfigError, DatabaseAway, DatasetError
from orchestrator.core.finding import Finding, Severity
from orchestrator.daemon.service import Service, refusal


def service(error: Exception) -> Service:
    async def converge() -> str | None:
        raise error

    unused = cast(Any, None)
    return Service(
        converge=converge,
        signature=lambda: "as it is",
        dataset=None,
        dispatch=unused,
        reconciler=unused,
        presence=unused,
        courier=unused,
        scheduler=unused,
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
async def test_an_error_that_is_not_ours_is_shown_too(error: Exception, why: str) -> None:
    failing = service(error)

    await failing.reload()

    assert failing.problem is not None
    assert failing.problem.message == f"the accounts file or the dataset could not be read: {why}"
    assert "sk-a-key" not in failing.problem.hint


async def test_a_database_that_is_away_is_no_fault_of_the_file() -> None:
    failing = service(DatabaseAway("away"))

    await failing.reload()

    assert failing.problem is None


def test_everything_that_is_wrong_is_named() -> None:
    problems = [f"accounts.toml:{line}: wrong" for line in range(12)]

    message = refusal(ConfigError("accounts.toml has 12 faults", problems=problems)).message

    assert message.startswith("accounts.toml has 12 faults (accounts.toml:0: wrong; ")
    assert message.endswith("accounts.toml:9: wrong and 2 more)")


def test_every_finding_of_the_dataset_is_named() -> None:
    findings = [
        Finding(code="empty-file", severity=Severity.ERROR, file=name, line=None, path="", message="empty", hint="")
        for name in ("a.json", "b.json")
    ]

    assert refusal(DatasetError("no", findings=findings)).message == "no (a.json:1: empty; b.json:1: empty)"
