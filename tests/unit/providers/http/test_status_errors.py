from __future__ import annotations

import json
from typing import Any

import pytest

from orchestrator.core.errors import (
    MAX_MESSAGE_LENGTH,
    AuthenticationFailed,
    FileNotReady,
    JobLimitReached,
    ProviderError,
    ProviderUnavailable,
    ProxyRefused,
    QuotaExhausted,
    RateLimited,
    RemoteNotFound,
    RequestRejected,
    TrainingNotAllowed,
)
from orchestrator.core.secret import Redactor, Secret
from orchestrator.providers.http.status_errors import (
    REJECTION_STATUSES,
    get_error_class,
    parse_error_body,
    provider_error_from_response,
)

KEY = "sk-proj-0123456789abcdef"
CODES: dict[str | None, type[ProviderError]] = {"slots": JobLimitReached, "412": QuotaExhausted}


def build(status: int, body: Any = "", **headers: str) -> ProviderError:
    redact = Redactor()
    redact.add(Secret(KEY))
    content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return provider_error_from_response(
        status, named, content, "/v1/jobs", account="acme", error_codes=CODES, redact=redact
    )


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, RequestRejected),
        (401, AuthenticationFailed),
        (402, QuotaExhausted),
        (403, TrainingNotAllowed),
        (404, RemoteNotFound),
        (407, ProxyRefused),
        (408, ProviderUnavailable),
        (409, ProviderUnavailable),
        (422, RequestRejected),
        (425, ProviderUnavailable),
        (429, RateLimited),
        (499, ProviderUnavailable),
        (500, ProviderUnavailable),
        (302, ProviderUnavailable),
        (204, ProviderUnavailable),
    ],
)
def test_status_decides_without_a_known_code(status: int, kind: type[ProviderError]) -> None:
    for code in (None, "unknown"):
        assert get_error_class(status, code, CODES) is kind


def test_every_status_that_may_follow_an_effect_is_no_refusal() -> None:
    """A refusal ends the intent, and the next attempt creates a job without a look-up."""
    assert not REJECTION_STATUSES & {408, 409, 425, 499, *range(100, 400), *range(500, 600)}
    final = {status for status in range(400, 500) if status not in REJECTION_STATUSES}
    assert all(get_error_class(status, None, {}) in (ProviderUnavailable, ProxyRefused) for status in final)


@pytest.mark.parametrize("status", [400, 409, 429])
def test_known_code_is_more_specific_than_a_status_that_refuses(status: int) -> None:
    assert get_error_class(status, "slots", CODES) is JobLimitReached


@pytest.mark.parametrize("status", [408, 500, 503, 302])
def test_code_is_ignored_where_the_request_may_have_had_an_effect(status: int) -> None:
    assert get_error_class(status, "slots", CODES) is ProviderUnavailable


def test_status_may_be_a_known_code() -> None:
    assert get_error_class(412, None, CODES) is QuotaExhausted
    assert get_error_class(412, "slots", CODES) is JobLimitReached
    assert get_error_class(400, None, {None: FileNotReady, "400": QuotaExhausted}) is FileNotReady


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"error": {"code": "slots", "message": "full"}}, ("slots", "full")),
        ({"error": {"code": 404, "message": "no"}}, ("404", "no")),
        ({"error": {"code": 404, "status": "NOT_FOUND", "message": "no"}}, ("NOT_FOUND", "no")),
        ({"error": {"code": 400, "status": "INVALID_ARGUMENT", "message": "no"}}, ("INVALID_ARGUMENT", "no")),
        ({"error": {"code": 5, "status": "NOT_FOUND", "message": "no"}}, ("5", "no")),  # of gRPC, no HTTP status
        ({"error": {"code": 404, "status": 404, "message": "no"}}, ("404", "no")),
        ({"error": {"code": "", "message": "no"}}, (None, "no")),
        ({"error": {"message": ["no"]}}, (None, "")),
        ({"error": "no"}, (None, "no")),
        ({"code": "InvalidParameter", "message": "no"}, ("InvalidParameter", "no")),
        ({"detail": "no"}, (None, "no")),
        ({"detail": "long", "message": "short", "code": "c"}, ("c", "short")),
        ({"detail": [{"loc": ["body", "n_epochs"], "msg": "too many"}]}, (None, "body.n_epochs: too many")),
        ({"detail": [{"msg": "a"}, {"loc": "x", "msg": "b"}, "c", {"msg": 4}]}, (None, "a; b")),
        ({"detail": [{"loc": list(range(9)), "msg": "deep"}]}, (None, "0.1.2.3.4: deep")),
        ({"detail": [{"msg": str(number)} for number in range(9)]}, (None, "0; 1; 2; 3; 4")),
        ({"error": 5}, (None, "")),
        ({"error": {"code": "c" * 100, "message": "no"}}, ("c" * 64, "no")),
        ([{"error": {"message": "no"}}], (None, "")),
        ("", (None, "")),
        ("<html>", (None, "")),
    ],
)
def test_code_and_message_are_found_in_every_usual_shape(body: Any, expected: tuple[str | None, str]) -> None:
    content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    assert parse_error_body(content) == expected


def test_error_has_status_code_and_text_of_the_provider() -> None:
    error = build(409, {"error": {"code": "slots", "message": "full"}}, x_request_id="req-1", retry_after="7")
    assert type(error) is JobLimitReached
    assert error.message == "409 slots: full"
    assert (error.account, error.request_id, error.code, error.retry_after) == ("acme", "req-1", "slots", 7.0)


def test_error_without_a_code_has_status_and_text() -> None:
    error = build(400, {"error": {"message": "no"}})
    assert (error.message, error.code, error.request_id, error.retry_after) == ("400: no", None, None, None)


def test_error_without_a_message_is_quoted_with_its_path() -> None:
    assert build(502, "<html>\nBad gateway").message == "502: at /v1/jobs: <html> Bad gateway"
    assert build(502).message == "502: at /v1/jobs: an empty response"


def test_redirect_names_its_target_without_the_query() -> None:
    error = build(302, {"error": {"code": "slots", "message": "moved"}}, location="https://b.example/x\n?key=1")
    assert type(error) is ProviderUnavailable
    assert error.message == (
        "302: the provider redirects /v1/jobs to https://b.example/x; if the API has moved, correct `base_url`"
    )
    assert error.code == "slots"
    assert "to nowhere;" in build(399).message
    assert "redirects" not in build(299).message
    assert "redirects" in build(300).message
    assert "redirects" not in build(400).message


def test_target_of_a_redirect_is_cut_and_holds_no_key() -> None:
    message = build(307, location=f"https://b.example/{KEY}/" + "x" * 5000).message
    assert KEY not in message
    assert 200 < len(message) < 320


def test_text_of_an_error_is_cut_and_holds_no_key() -> None:
    message = build(400, {"error": {"code": KEY, "message": f"{KEY} " + "x" * 5000}}).message
    assert KEY not in message
    assert len(message) <= MAX_MESSAGE_LENGTH
    assert len(build(400, {"error": {"message": "x" * 5000}}).message) == MAX_MESSAGE_LENGTH
