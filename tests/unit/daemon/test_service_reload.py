"""The accounts file changes while the database is away: it is read again once the database is back."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import structlog
from structlog.testing import capture_logs

from orchestrator.core.errors import ConfigError, DatabaseAway
from orchestrator.daemon.service import Service


class Stage:
    """A service over an accounts file whose signature and outcomes the test sets."""

    def __init__(self, *outcomes: Exception | None) -> None:
        self.signature = 1
        self.read = 0
        self._outcomes = list(outcomes)
        nothing = cast(Any, SimpleNamespace(cron=lambda *_: None, nudge=lambda: None))
        self.service = Service(
            converge=self._converge,
            signature=lambda: self.signature,
            dispatch=nothing,
            reconciler=nothing,
            presence=nothing,
            courier=nothing,
            scheduler=nothing,
            log=structlog.get_logger("test"),
        )

    async def _converge(self) -> None:
        self.read += 1
        if (outcome := self._outcomes.pop(0)) is not None:
            raise outcome

    async def watch(self, times: int) -> list[str]:
        with capture_logs() as said:
            for _ in range(times):
                await self.service._watch()
        return [line["event"] for line in said]


async def test_an_outage_says_nothing_about_the_accounts_file_and_it_is_read_again() -> None:
    stage = Stage(DatabaseAway("away"), DatabaseAway("away"), None)
    assert await stage.watch(5) == ["accounts_file.changed"]
    assert stage.read == 3
    assert stage.service.problem is None


async def test_a_file_that_is_refused_is_not_read_again_before_it_changes() -> None:
    stage = Stage(DatabaseAway("away"), ConfigError("line 3 is wrong"), None)
    assert await stage.watch(5) == ["accounts_file.changed", "accounts_file.refused"]
    assert stage.read == 2
    assert stage.service.problem is not None
    stage.signature = 2
    assert await stage.watch(2) == ["accounts_file.changed"]
    assert stage.service.problem is None
