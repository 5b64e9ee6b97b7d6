"""Who calls. A key `sandbox-NAME` or `sandbox-NAME_SECRET` is account NAME of `org-NAME` and `proj_NAME`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.sandbox.answer import SandboxApiError

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
