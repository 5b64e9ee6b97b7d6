"""The accounts file changes while the database is away: it is read again once the database is back."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
import structlog
from structlog.testing import capture_logs

from orchestrator.core.config_refusal import ConfigRefusal
from orchestrator.core.errors import ConfigError, DatabaseUnavailable
from orchestrator.core.secret import Redactor
from orchestrator.daemon.service import Service


class Stage:
    """A service over an accounts file whose signature and outcomes the test sets."""

    def __init__(self, *outcomes: Exception | None) -> None:
        self.signature = 1
        self.read = 0
        self.stored: list[ConfigRefusal | None] = []
        self.write_error: Exception | None = None
        self._outcomes = list(outcomes)
        nothing = cast(Any, SimpleNamespace(schedule_cron=lambda *_: None, wake=lambda: None))
        self.service = Service(
            converge=self._converge,
            signature=lambda: self.signature,
            dispatch=nothing,
            reconciler=nothing,
            heartbeat=cast(Any, SimpleNamespace(set_refusal=self._store)),
            delivery_worker=nothing,
            scheduler=nothing,
            now=lambda: 100.0,
            redact=Redactor(),
            log=structlog.get_logger("test"),
        )

    async def _converge(self) -> None:
        self.read += 1
        if (outcome := self._outcomes.pop(0)) is not None:
            raise outcome

    async def _store(self, refusal: ConfigRefusal | None) -> None:
        if self.write_error is not None:
            raise self.write_error
        self.stored.append(refusal)

    async def watch(self, times: int) -> list[str]:
        with capture_logs() as lines:
            for _ in range(times):
                await self.service._check_accounts_file()
        return [line["event"] for line in lines]


async def test_accounts_file_is_read_again_after_an_outage() -> None:
    stage = Stage(DatabaseUnavailable("away"), DatabaseUnavailable("away"), None)
    assert await stage.watch(5) == ["accounts_file.changed"]
    assert stage.read == 3
    assert stage.service.problem is None


async def test_a_file_that_is_refused_is_not_read_again_before_it_changes() -> None:
    stage = Stage(DatabaseUnavailable("away"), ConfigError("line 3 is wrong"), None)
    assert await stage.watch(5) == ["accounts_file.changed", "accounts_file.refused"]
    assert stage.read == 2
    assert stage.service.problem is not None
    stage.signature = 2
    assert await stage.watch(2) == ["accounts_file.changed"]
    assert stage.service.problem is None


async def test_reload_error_is_stored_until_an_edit_is_accepted() -> None:
    stage = Stage(ConfigError("line 3 is wrong", hint="Correct it."), DatabaseUnavailable("away"), None)
    for _ in range(3):
        await stage.service.reload()
    refused, accepted = stage.stored  # an outage is no reason to refuse the edit
    assert refused is not None
    assert (refused.cause.message, refused.cause.hint, refused.at) == ("line 3 is wrong", "Correct it.", 100.0)
    assert accepted is None


@pytest.mark.parametrize("write_error", [DatabaseUnavailable("away"), ValueError("a driver's")])
async def test_a_refusal_that_cannot_be_stored_does_not_fail_the_reload(write_error: Exception) -> None:
    stage = Stage(ConfigError("line 3 is wrong"), None)
    stage.write_error = write_error
    with capture_logs() as lines:
        await stage.service.reload()
        refused = stage.service.problem
        await stage.service.reload()
    assert refused is not None
    assert stage.service.problem is None
    assert [line["event"] for line in lines] == [
        "accounts_file.refused",
        "refusal.store_failed",
        "refusal.store_failed",
    ]
