"""Classifies responses that are no success, by HTTP status and error code, for every dialect.

The text of a message never decides: providers change it without notice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypedDict

import httpx2
import msgspec

from orchestrator.core.errors import (
    MAX_MESSAGE_LENGTH,
    AuthenticationFailed,
    ProviderError,
    ProviderUnavailable,
    ProxyRefused,
    QuotaExhausted,
    RateLimited,
    RemoteNotFound,
    RequestRejected,
    TrainingNotAllowed,
)
from orchestrator.core.secret import Redactor
from orchestrator.providers.http.response_decoder import (
    DECODE_ERRORS,
    EXCERPT_CHARACTERS,
    format_excerpt,
    name_or_none,
    text_or_none,
)
from orchestrator.providers.http.retry_after import parse_retry_after

MAX_ERROR_CODE_LENGTH: Final = 64
MAX_ERROR_ITEMS: Final = 5
ErrorCodes = Mapping[str | None, type[ProviderError]]

ERROR_CLASSES_BY_STATUS: Final[Mapping[int, type[ProviderError]]] = {
    401: AuthenticationFailed,
    402: QuotaExhausted,
    403: TrainingNotAllowed,
    404: RemoteNotFound,
    407: ProxyRefused,  # from a proxy that forwards http://; providers do not use it
    408: ProviderUnavailable,
    409: ProviderUnavailable,
    429: RateLimited,
}
REJECTION_STATUSES: Final = frozenset(
    {
        400,
        401,
        402,
        403,
        404,
        405,
        406,
        410,
        411,
        412,
        413,
        414,
        415,
        417,
        421,
        422,
        423,
        424,
        426,
        428,
        429,
        431,
        451,
    }
)
"""Statuses that mean that the server has not carried out the request. All others leave that open: 408, 425 and 499
come from proxies that may have forwarded the request, and a redirect or server error may follow its effect."""

CONFLICT_STATUS: Final = 409
"""Without a code it may mean that the job exists already; with a known code it is a refusal."""


class ProviderErrorDetails(TypedDict):
    """The arguments that every `ProviderError` has."""

    account: str
    request_id: str | None
    code: str | None
    retry_after: float | None


def get_error_class(status: int, code: str | None, error_codes: ErrorCodes) -> type[ProviderError]:
    """Return the class of an error. A code that the dialect knows is more specific than a status that refuses.

    With any other status the code is ignored: a gateway may have forwarded the request before it returned 500. If
    its code counted as a refusal, the intent would end, and the next attempt could create a second paid job.
    """
    if status in REJECTION_STATUSES or status == CONFLICT_STATUS:
        for known in (code, str(status)):
            if known in error_codes:
                return error_codes[known]
    return ERROR_CLASSES_BY_STATUS.get(
        status, RequestRejected if status in REJECTION_STATUSES else ProviderUnavailable
    )


def provider_error_from_response(
    status: int,
    headers: Mapping[str, str],
    content: bytes,
    path: str,
    *,
    account: str,
    error_codes: ErrorCodes,
    redact: Redactor,
) -> ProviderError:
    """Build the error for a response that is no success. One without a message is quoted, with its path."""
    code, text = parse_error_body(content)
    details: ProviderErrorDetails = {
        "account": account,
        "request_id": parse_request_id(headers),
        "code": code,
        "retry_after": parse_retry_after(headers, text),
    }
    if 300 <= status < 400:
        where = redact.truncate(_strip_query(headers.get("location") or ""), EXCERPT_CHARACTERS) or "nowhere"
        message = f"{status}: the provider redirects {path} to {where}; if the API has moved, correct `base_url`"
        return get_error_class(status, code, error_codes)(message, **details)
    text = text or f"at {path}: {format_excerpt(content, redact) or 'an empty response'}"
    message = f"{status} {code}: {text}" if code else f"{status}: {text}"
    return get_error_class(status, code, error_codes)(redact.truncate(message, MAX_MESSAGE_LENGTH), **details)


def parse_error_body(content: bytes) -> tuple[str | None, str]:
    """Return code and message of an error in one of the usual shapes; None and "" for any other content."""
    try:
        body: Any = msgspec.json.decode(content)
    except DECODE_ERRORS:
        return None, ""
    if not isinstance(body, dict):
        return None, ""
    error = body.get("error") or (not body.get("message") and body.get("detail")) or body
    if not isinstance(error, dict):
        return None, _format_error_items(error) if isinstance(error, list) else text_or_none(error) or ""
    code = error.get("code")
    if isinstance(code, int) and code >= httpx2.codes.BAD_REQUEST and isinstance(error.get("status"), str):
        code = error["status"]  # Google's errors repeat the HTTP status as their code, and have a word beside it
    return (None if code in (None, "") else str(code)[:MAX_ERROR_CODE_LENGTH]), text_or_none(
        error.get("message")
    ) or ""


def _format_error_items(items: list[Any]) -> str:
    """Format the errors of FastAPI's validation, `{"loc": [...], "msg": ...}`, of which a request may have many."""
    texts = []
    for item in items[:MAX_ERROR_ITEMS]:
        if isinstance(item, dict) and (text := text_or_none(item.get("msg"))):
            location = item.get("loc")
            place = ".".join(map(str, location[:MAX_ERROR_ITEMS])) if isinstance(location, list) else ""
            texts.append(f"{place}: {text}" if place else text)
    return "; ".join(texts)


def parse_request_id(headers: Mapping[str, str]) -> str | None:
    """Return the provider's id of the request, if it has one that can be stored."""
    return name_or_none(headers.get("x-request-id"))


def _strip_query(address: str) -> str:
    """Remove the query, which may contain a key, and unprintable characters."""
    return "".join(c for c in address.partition("?")[0] if c.isprintable())
