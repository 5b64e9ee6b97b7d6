"""One request as a handler sees it, and what a handler is."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from starlette.requests import Request

from orchestrator.sandbox.answer import Answer, Refusal
from orchestrator.sandbox.caller import Caller
from orchestrator.sandbox.records import Fate, File, Job
from orchestrator.sandbox.shelf import Shelf
from orchestrator.sandbox.training_file import refuse_constant
from orchestrator.sandbox.world import World

BODY_LIMIT = 64 * 1024 * 1024
Listed = TypeVar("Listed", File, Job)


@dataclass(slots=True)
class Call:
    """Who asks what, when, of which world, and the fate that was laid on whatever this request makes."""

    world: World
    caller: Caller
    request: Request
    query: dict[str, str]
    now: float
    horizon: float
    """Lists show nothing that was made after this."""
    fate: Fate
    refuse_unprocessed: bool = False
    """A job of files that are still processed is refused: the fault `file_not_ready`."""

    @property
    def account(self) -> str:
        return self.caller.name

    def path(self, name: str) -> str:
        return str(self.request.path_params[name])

    def listed(self, shelf: Shelf[Listed]) -> list[Listed]:
        """What a list shows of the account's records, oldest first."""
        records = shelf.of(self.account).values()
        return [record for record in records if record.visible(self.now) and record.created_at <= self.horizon]

    async def json(self) -> dict[str, Any]:
        """The body, a JSON object. Raises Refusal (400)."""
        body = bytearray()
        async for chunk in self.request.stream():
            body += chunk
            if len(body) > BODY_LIMIT:
                raise Refusal(413, f"The body is larger than {BODY_LIMIT} bytes.")
        try:
            value = json.loads(bytes(body), parse_constant=refuse_constant)
        except ValueError as broken:
            raise Refusal(400, f"We could not parse the JSON body of your request: {broken}") from broken
        if not isinstance(value, dict):
            raise Refusal(400, "Invalid body: expected a JSON object.")
        return value


Handler = Callable[[Call], Awaitable[Answer]]
