"""Outage: the database is away. Said once when it begins and once when it is over, whoever meets it."""

from __future__ import annotations

import structlog


class Outage:
    """Begins with a call that fails, ends with a change that is committed: a full disk can still be read."""

    def __init__(self) -> None:
        self.reason: str | None = None
        self._log = structlog.get_logger("orchestrator")

    def begin(self, error: BaseException) -> None:
        """A call has failed."""
        if self.reason is None:
            self.reason = str(error.__cause__ or error) or type(error).__name__
            hint = "Nothing is sent meanwhile. The service goes on by itself when the database takes changes again."
            self._log.error("database.unreachable", message=self.reason, hint=hint)

    def end(self) -> None:
        """A change is committed."""
        if self.reason is not None:
            self.reason = None
            self._log.warning("database.back")
