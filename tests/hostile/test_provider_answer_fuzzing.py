"""Any answer to any call of any dialect: a value that can be stored, or a clean error; a paid job is never missed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from enum import Enum
from math import isfinite
from typing import Any

import pytest
from answer_mutations import MUTATIONS, Mutation
from fuzzing import FUZZING
from hypothesis import given
from hypothesis import strategies as st
from recorded_calls import RecordedDialect, Replay, list_recorders

from orchestrator.core.errors import AmbiguousRemoteJob, ProviderError, ProviderUnavailable, UnknownOutcome
from orchestrator.core.jobs.checkpoint import number_checkpoints
from orchestrator.core.structs import Struct
from orchestrator.providers.http.status_errors import CONFLICT_STATUS, REJECTION_STATUSES

RECORDERS = list_recorders()
REFUSALS = {*REJECTION_STATUSES, CONFLICT_STATUS, 407}  # 407 comes from a proxy that forwarded nothing
MAX_INTEGER = 2**63
MAX_TEXT = 2_000
MAX_REPLY = 100_000
MAX_VALUES = 200_000


@pytest.fixture(scope="module", params=list(RECORDERS))
def dialect(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RecordedDialect]:
    made = RECORDERS[request.param](tmp_path_factory.mktemp("bench"))
    yield made
    made.close()


@pytest.fixture(scope="module", autouse=True)
def google_auth_does_not_wait() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("google.auth._exponential_backoff.time.sleep", lambda _: None)
        yield


def check_storable(value: Any, place: str = "") -> int:
    """Fail for a value that the database, JSON or a terminal could not hold. Return the number of values in it."""
    if value is None or isinstance(value, bool | Enum):
        return 1
    if isinstance(value, str):
        assert len(value) <= (MAX_REPLY if place.endswith(".text") else MAX_TEXT), place
        assert "\0" not in value, place
        value.encode()
        return 1
    if isinstance(value, int | float):
        assert isfinite(value), place
        assert isinstance(value, float) or -MAX_INTEGER <= value < MAX_INTEGER, place
        return 1
    if isinstance(value, Struct):
        parts: Any = [(name, getattr(value, name)) for name in value.__struct_fields__]
    elif isinstance(value, Mapping):
        json.dumps(value, allow_nan=False)
        parts = list(value.items())
    else:
        parts = list(enumerate(value))
    count = sum(check_storable(inner, f"{place}.{name}") for name, inner in parts)
    assert count <= MAX_VALUES, place
    return count


def check_error(error: ProviderError) -> None:
    assert error.account in ("acme", "")
    assert len(error.message) <= MAX_TEXT
    assert len(error.hint) <= MAX_TEXT
    for text in (error.message, error.hint, error.code or "", error.request_id or ""):
        text.encode()
    assert len(error.code or "") <= MAX_TEXT
    assert error.retry_after is None or 0 <= error.retry_after < float("inf")


def check_ambiguity(call: str, error: AmbiguousRemoteJob) -> None:
    assert call == "find_jobs"
    assert len(error.message) + len(error.hint) <= 2 * MAX_TEXT


def check_failure(call: str, error: ProviderError, replay: Replay) -> None:
    """Fail for an error that is not clean, or that says of a paid job that it was certainly not created."""
    check_error(error)
    is_sent = bool(replay.requests) and not replay.requests[-1].url.path.endswith("/estimate-price")
    if call in ("create_job", "create_deployment") and is_sent:
        is_refused = any(each.status_code in REFUSALS for each in replay.answered)
        assert is_refused or isinstance(error, UnknownOutcome | ProviderUnavailable), repr(error)
        assert is_refused or call != "create_job" or isinstance(error, UnknownOutcome), repr(error)


def check_result(call: str, found: Any, replay: Replay) -> None:
    """Fail for a value that cannot be stored, and for "nothing there" that no answer has said."""
    check_storable(number_checkpoints(found) if call == "checkpoints" else found, call)
    statuses = {each.status_code for each in replay.answered} - {200, 404}
    if call in ("find_jobs", "find_file", "find_deployments") and statuses:
        is_found = found and (call != "find_deployments" or found.found or found.named)
        assert is_found or statuses <= REFUSALS, f"nothing found after {statuses}"


@FUZZING
@given(data=st.data(), mutation=MUTATIONS)
def test_any_answer_is_a_storable_value_or_an_error(
    dialect: RecordedDialect, data: st.DataObject, mutation: Mutation
) -> None:
    call = data.draw(st.sampled_from(sorted(dialect.calls)))
    try:
        found = dialect.run(call, mutation)
    except ProviderError as error:
        check_failure(call, error, dialect.replay)
    except AmbiguousRemoteJob as error:
        check_ambiguity(call, error)
    else:
        assert call != "create_job" or found.id
        check_result(call, found, dialect.replay)
