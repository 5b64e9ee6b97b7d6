from __future__ import annotations

import pytest

from orchestrator.core.errors import (
    AccountError,
    AuthenticationFailed,
    JobLimitReached,
    ProviderError,
    RemoteNotFound,
    RequestRejected,
    TrainingNotAllowed,
)
from orchestrator.providers.azure.resource_manager import CONFLICT_CODES, ERROR_CODES, WRONG_PLACE_CODES, find_hint
from orchestrator.providers.http.status_errors import get_error_class


@pytest.mark.parametrize(
    ("error", "step"),
    [
        (AuthenticationFailed("401"), "`management_key`: it must lead to a current token"),
        (TrainingNotAllowed("403"), "role"),
        (AccountError("404", code="SubscriptionNotFound"), "`subscription_id`"),
        (JobLimitReached("409", code=min(CONFLICT_CODES)), "one operation at a time"),
        (RequestRejected("400", code="InsufficientQuota"), "`capacity`"),
    ],
)
def test_refusal_of_the_resource_manager_has_a_next_step_of_its_own(error: ProviderError, step: str) -> None:
    hint = find_hint(error)
    assert hint is not None
    assert step in hint


def test_refusal_without_a_known_code_has_the_usual_next_step() -> None:
    assert find_hint(RequestRejected("400", code="Other")) is None
    assert find_hint(RemoteNotFound("404")) is None


@pytest.mark.parametrize("code", sorted(CONFLICT_CODES))
def test_running_operation_of_the_resource_is_awaited(code: str) -> None:
    assert get_error_class(409, code, ERROR_CODES) is JobLimitReached


@pytest.mark.parametrize("code", sorted(WRONG_PLACE_CODES))
def test_wrong_subscription_or_group_holds_the_account(code: str) -> None:
    assert get_error_class(404, code, ERROR_CODES) is AccountError
    assert find_hint(AccountError("404", code=code)) == find_hint(AccountError("404", code="SubscriptionNotFound"))
