"""Failures: what a status and a code of HTTP mean, for every dialect. Never by the words of a message."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Final, TypedDict

from orchestrator.core.errors import (
    AuthenticationFailed,
    ProviderError,
    ProviderUnavailable,
    QuotaExhausted,
    RateLimited,
    RemoteMissing,
    RequestRejected,
    TrainingNotAllowed,
)

Codes = Mapping[str | None, type[ProviderError]]

BY_STATUS: Final[Mapping[int, type[ProviderError]]] = {
    401: AuthenticationFailed,
    402: QuotaExhausted,
    403: TrainingNotAllowed,
    404: RemoteMissing,
    408: ProviderUnavailable,
    409: ProviderUnavailable,
    429: RateLimited,
}


class Details(TypedDict):
    """What every error of a provider carries."""

    account: str
    request_id: str | None
    code: str | None
    retry_after: float | None


def error_class(status: int, code: str | None, codes: Codes) -> type[ProviderError]:
    """Which error it is. A code that the dialect knows, or a status it uses its own way, says more than the rest."""
    for known in (code, str(status)):
        if known in codes:
            return codes[known]
    if not 400 <= status < 500:
        return ProviderUnavailable
    return BY_STATUS.get(status, RequestRejected)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The server's wish in seconds, where it has one."""
    try:
        seconds = float(headers["retry-after"])
    except (KeyError, ValueError):
        return None
    return seconds if 0 <= seconds < inf else None
