"""Transport errors: what can go wrong between this process and a provider, each with its cause and its remedy.

They are errors of httpx2, because SDKs let nothing else through as their own. `translate` turns what aiohttp raises
into one of them, and `unanswered` turns one of them into a `ProviderError`.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

import aiohttp
import httpx2

from orchestrator.core.errors import MESSAGE_LIMIT, ProviderError, ProviderUnavailable
from orchestrator.core.secret import Redactor

MAX_ANSWER_BYTES: Final = 16 * 1024 * 1024  # after decompression

# The first that fits.
ERRORS: Final[tuple[tuple[type[Exception], type[httpx2.TransportError]], ...]] = (
    (aiohttp.SocketTimeoutError, httpx2.ReadTimeout),
    (aiohttp.ServerTimeoutError, httpx2.ConnectTimeout),
    (TimeoutError, httpx2.PoolTimeout),
    (aiohttp.ClientConnectorError, httpx2.ConnectError),
    (aiohttp.InvalidURL, httpx2.UnsupportedProtocol),
    (aiohttp.ClientOSError, httpx2.ReadError),
    (aiohttp.ClientError, httpx2.RemoteProtocolError),
    (OSError, httpx2.ReadError),
)


class AnswerTooLarge(httpx2.RemoteProtocolError):
    """The answer is larger than any of a provider's API is. The rest of it is not read."""

    hint: ClassVar[str] = (
        "It is tried again. Check that `base_url` leads to the provider's API and not to a page or a file; "
        "if it does, report it to the provider."
    )

    def __init__(self) -> None:
        super().__init__(f"the answer is larger than {MAX_ANSWER_BYTES >> 20} MiB")


def translate(error: Exception) -> httpx2.TransportError:
    """A failure of aiohttp as one of httpx2."""
    known = next(ours for theirs, ours in ERRORS if isinstance(error, theirs))
    return known(str(error) or type(error).__name__)


def unanswered(error: BaseException, account: str, redact: Redactor) -> ProviderError:
    """The error of a call that has no answer. Its cause may stand behind an SDK's own."""
    cause: Any = error
    text = f"{type(cause).__name__}: {cause}" if str(cause) else type(cause).__name__
    return ProviderUnavailable(
        redact.cut(f"no answer from the provider ({text})", MESSAGE_LIMIT),
        hint=getattr(cause, "hint", ""),
        account=account,
    )
