"""One request as a handler sees it, and what a handler is."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from starlette.requests import Request

from orchestrator.sandbox.record_store import RecordStore
from orchestrator.sandbox.records import DeferredFaults, SandboxFile, SandboxJob
from orchestrator.sandbox.response import ApiResponse, SandboxApiError
from orchestrator.sandbox.state import SandboxState
from orchestrator.sandbox.validation.training_file import reject_constant

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


API_KEY_PATTERN = re.compile(r"sandbox-([a-z0-9-]+)(_[\x21-\x7e]+)?")
MISSING_KEY_MESSAGE = (
    "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth "
    "(i.e. Authorization: Bearer YOUR_KEY)."
)


@dataclass(frozen=True, slots=True)
class Caller:
    """The account behind a key. Two keys with the same NAME are the same account."""

    name: str

    @property
    def organization(self) -> str:
        return f"org-{self.name}"

    @property
    def project(self) -> str:
        return f"proj_{self.name}"


def authenticate(headers: Mapping[str, str]) -> Caller:
    """The caller, from the request's headers. Raises Refusal (401); like a nasty provider it echoes a wrong key."""
    scheme, _, key = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise SandboxApiError(401, MISSING_KEY_MESSAGE)
    known = API_KEY_PATTERN.fullmatch(key.strip())
    if known is None:
        where = "You can find your API key at https://platform.openai.com/account/api-keys."
        raise SandboxApiError(401, f"Incorrect API key provided: {key.strip()}. {where}", code="invalid_api_key")
    caller = Caller(known[1])
    _check_header(headers, "organization", caller.organization)
    _check_header(headers, "project", caller.project)
    return caller


def _check_header(headers: Mapping[str, str], what: str, own: str) -> None:
    if headers.get(f"openai-{what}", own) != own:
        message = f"OpenAI-{what.title()} header should match {what} for API key"
        raise SandboxApiError(401, message, code=f"mismatched_{what}")
