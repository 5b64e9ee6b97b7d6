"""How long a server wants us to wait: in a header, in seconds or as a date, or only in its words."""

from __future__ import annotations

import json

import pytest

from orchestrator.core.errors import DailyLimitReached, RateLimited
from orchestrator.core.secret import Redactor
from orchestrator.providers.http.retry_after import parse_retry_after
from orchestrator.providers.http.status_errors import provider_error_from_response
from orchestrator.providers.openai.dialects import ERROR_CODES

SENT = "Sat, 28 Nov 2026 22:00:00 GMT"


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ("Limit 200, Used 200, Requested 1. Please try again in 7m12s. Visit https://…", 432.0),
        ("Please try again in 8.64s.", 8.64),
        ("Please try again in 120ms.", 0.12),
        ("You've exceeded your limit. Please try again in 1 days", 86400.0),
        ("Please retry after 20 seconds.", 20.0),
        ("try again in 1 hour, 2 minutes and 3 seconds", 3723.0),
        ("Try Again In 35 Minutes", 2100.0),
        ("try again in 1h2m", 3720.0),
        ("Your organization has reached the maximum of 8 fine-tuning requests per day for the model", None),
        ("try again later", None),
        ("try again in 5 monkeys", None),
        ("x" * 5000 + "try again in 5s", None),  # nobody reads a message of any size
        ("try again in " + "1" * 5000, None),
        ("", None),
    ],
)
def test_retry_time_is_read_from_the_message_without_a_header(message: str, seconds: float | None) -> None:
    assert parse_retry_after({}, message) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "30"}, 30.0),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "Sat, 28 Nov 2026 23:00:00 GMT", "date": SENT}, 3600.0),
        ({"retry-after": "Sat, 28 Nov 2026 21:00:00 GMT", "date": SENT}, 0.0),
        ({"retry-after": "Sat, 28 Nov 2026 23:00:00 GMT"}, None),  # whose clock?
        ({"retry-after": "soon", "date": SENT}, None),
        ({"retry-after": "Sun, 29 Nov 2026 00:30:00 +0130", "date": SENT}, 3600.0),
        ({"retry-after": "Sat, 28 Nov 2026 23:00:00 -0000", "date": SENT}, 3600.0),
        ({"retry-after": "Sat, 28 Nov 2026 23:00:00", "date": "Sat, 28 Nov 2026 22:00:00 -0000"}, 3600.0),
    ],
)
def test_header_takes_precedence_over_the_message(headers: dict[str, str], seconds: float | None) -> None:
    assert parse_retry_after(headers, "try again in 5s") == seconds


@pytest.mark.parametrize(
    ("code", "kind"), [("daily_rate_limit_exceeded", DailyLimitReached), ("rate_limit_exceeded", RateLimited)]
)
def test_refusal_carries_the_retry_time_of_its_message(code: str, kind: type[RateLimited]) -> None:
    body = json.dumps({"error": {"message": "Used 8, requested 1. Please try again in 7m12s.", "code": code}})
    error = provider_error_from_response(
        429, {}, body.encode(), "/jobs", account="a", error_codes=ERROR_CODES, redact=Redactor()
    )
    assert (type(error), error.retry_after) == (kind, 432.0)
