"""The request as a handler receives it, and the authentication by API key."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from msgspec import Struct
from starlette.requests import Request

from orchestrator.sandbox.record_store import RecordStore
from orchestrator.sandbox.records import DeferredFaults, SandboxFile, SandboxJob
from orchestrator.sandbox.response import ApiResponse, SandboxApiError
from orchestrator.sandbox.state import SandboxState
from orchestrator.sandbox.validation.training_file import reject_constant

MAX_BODY_BYTES = 64 * 1024 * 1024
ListedRecord = TypeVar("ListedRecord", SandboxFile, SandboxJob)


class ApiCall(Struct):
    """One authenticated request with its context."""

    state: SandboxState
    caller: Caller
    request: Request
    query: dict[str, str]
    """Query parameters, after the faults that change them."""
    now: float
    """Epoch seconds; the same for everything that this request computes."""
    list_horizon: float
    """Lists omit objects that were created after this time (epoch seconds): the fault `list_lag`."""
    deferred_faults: DeferredFaults
    """Faults to store with the file or job that this request creates."""
    reject_unprocessed_files: bool = False
    """Refuse a job whose files are not processed yet: the fault `file_not_ready`."""

    @property
    def account(self) -> str:
        return self.caller.name

    def get_path_parameter(self, name: str) -> str:
        return str(self.request.path_params[name])

    def list_visible(self, store: RecordStore[ListedRecord]) -> list[ListedRecord]:
        """Return the records of the account that a list shows, oldest first."""
        records = store.of(self.account).values()
        return [
            record for record in records if record.is_visible(self.now) and record.created_at <= self.list_horizon
        ]

    async def parse_json_body(self) -> dict[str, Any]:
        """Parse the body as a JSON object. Raises SandboxApiError (400, 413)."""
        body = bytearray()
        async for chunk in self.request.stream():
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                raise SandboxApiError(413, f"The body is larger than {MAX_BODY_BYTES} bytes.")
        try:
            value = json.loads(bytes(body), parse_constant=reject_constant)
        except ValueError as error:
            raise SandboxApiError(400, f"We could not parse the JSON body of your request: {error}") from error
        if not isinstance(value, dict):
            raise SandboxApiError(400, "Invalid body: expected a JSON object.")
        return value


Handler = Callable[[ApiCall], Awaitable[ApiResponse]]


API_KEY_PATTERN = re.compile(r"sandbox-([a-z0-9-]+)(_[\x21-\x7e]+)?")
MISSING_KEY_MESSAGE = (
    "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth "
    "(i.e. Authorization: Bearer YOUR_KEY)."
)


class Caller(Struct, frozen=True):
    """The account of a key. Keys `sandbox-NAME` and `sandbox-NAME_anything` belong to the same account."""

    name: str

    @property
    def organization(self) -> str:
        return f"org-{self.name}"

    @property
    def project(self) -> str:
        return f"proj_{self.name}"


def authenticate(headers: Mapping[str, str]) -> Caller:
    """Return the caller of a request by its headers. Raises SandboxApiError (401).

    The error repeats a wrong key, as some providers do, so that tests can prove that the program redacts it.
    """
    scheme, _, key = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise SandboxApiError(401, MISSING_KEY_MESSAGE)
    match = API_KEY_PATTERN.fullmatch(key.strip())
    if match is None:
        where = "You can find your API key at https://platform.openai.com/account/api-keys."
        raise SandboxApiError(401, f"Incorrect API key provided: {key.strip()}. {where}", code="invalid_api_key")
    caller = Caller(match[1])
    _check_header(headers, "organization", caller.organization)
    _check_header(headers, "project", caller.project)
    return caller


def _check_header(headers: Mapping[str, str], what: str, own: str) -> None:
    if headers.get(f"openai-{what}", own) != own:
        message = f"OpenAI-{what.title()} header should match {what} for API key"
        raise SandboxApiError(401, message, code=f"mismatched_{what}")
