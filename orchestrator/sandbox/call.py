"""One request as a handler sees it, and what a handler is."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from starlette.requests import Request

from orchestrator.sandbox.answer import ApiResponse, SandboxApiError
from orchestrator.sandbox.caller import Caller
from orchestrator.sandbox.records import DeferredFaults, SandboxFile, SandboxJob
from orchestrator.sandbox.shelf import RecordStore
from orchestrator.sandbox.training_file import reject_constant
from orchestrator.sandbox.world import SandboxState

MAX_BODY_BYTES = 64 * 1024 * 1024
ListedRecord = TypeVar("ListedRecord", SandboxFile, SandboxJob)


@dataclass(slots=True)
class ApiCall:
    """Who asks what, when, of which world, and the fate that was laid on whatever this request makes."""

    state: SandboxState
    caller: Caller
    request: Request
    query: dict[str, str]
    now: float
    list_horizon: float
    """Lists show nothing that was made after this."""
    deferred_faults: DeferredFaults
    reject_unprocessed_files: bool = False
    """A job of files that are still processed is refused: the fault `file_not_ready`."""

    @property
    def account(self) -> str:
        return self.caller.name

    def get_path_parameter(self, name: str) -> str:
        return str(self.request.path_params[name])

    def list_visible(self, store: RecordStore[ListedRecord]) -> list[ListedRecord]:
        """What a list shows of the account's records, oldest first."""
        records = store.of(self.account).values()
        return [
            record for record in records if record.is_visible(self.now) and record.created_at <= self.list_horizon
        ]

    async def parse_json_body(self) -> dict[str, Any]:
        """The body, a JSON object. Raises Refusal (400)."""
        body = bytearray()
        async for chunk in self.request.stream():
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                raise SandboxApiError(413, f"The body is larger than {MAX_BODY_BYTES} bytes.")
        try:
            value = json.loads(bytes(body), parse_constant=reject_constant)
        except ValueError as broken:
            raise SandboxApiError(400, f"We could not parse the JSON body of your request: {broken}") from broken
        if not isinstance(value, dict):
            raise SandboxApiError(400, "Invalid body: expected a JSON object.")
        return value


Handler = Callable[[ApiCall], Awaitable[ApiResponse]]
