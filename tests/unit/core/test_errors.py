"""Errors are product: each has a kind that never changes, and most say themselves what to do next."""

from __future__ import annotations

import pytest
from core_values import an_account

from orchestrator.core import errors
from orchestrator.core.account import AccountIdentity
from orchestrator.core.errors import (
    MAX_MESSAGE_LENGTH,
    ConfigError,
    DatasetError,
    Failure,
    OrchestratorError,
    ProviderError,
    RateLimited,
    WrongOrganization,
)
from orchestrator.core.finding import Finding, Severity

KINDS = {
    "OrchestratorError": "orchestrator_error",
    "ConfigError": "config_error",
    "NothingToDo": "nothing_to_do",
    "DatasetError": "dataset_error",
    "DatasetChanged": "dataset_changed",
    "BudgetExceeded": "unsafe_plan",
    "DatabaseLocked": "database_busy",
    "DatabaseUnavailable": "database_away",
    "ProviderError": "provider_error",
    "TemporaryError": "temporary_error",
    "RateLimited": "rate_limited",
    "DailyLimitReached": "daily_limit",
    "JobLimitReached": "slots_taken",
    "SearchTooSlow": "search_too_slow",
    "FileNotReady": "not_ready",
    "ProviderUnavailable": "provider_unavailable",
    "UnknownOutcome": "unknown_outcome",
    "AccountError": "account_error",
    "AuthenticationFailed": "authentication_failed",
    "WrongOrganization": "wrong_organization",
    "TrainingNotAllowed": "training_not_allowed",
    "QuotaExhausted": "quota_exhausted",
    "CertificateNotTrusted": "certificate_not_trusted",
    "ProxyRefused": "proxy_refused",
    "UploadAddressRefused": "upload_address_refused",
    "RequestRejected": "request_rejected",
    "RemoteNotFound": "remote_missing",
    "JobNameTaken": "job_name_taken",
    "DeploymentNotReady": "deployment_not_ready",
    "DeploymentNameTaken": "deployment_name_taken",
    "AmbiguousRemoteJob": "ambiguous",
    "UploadSizeMismatch": "upload_differs",
    "IllegalTransition": "illegal_transition",
    "StaleJob": "stale_job",
}
CLASSES = {
    name: kind
    for name, kind in vars(errors).items()
    if isinstance(kind, type) and issubclass(kind, OrchestratorError)
}
WITHOUT_DEFAULT_HINT = {"OrchestratorError", "ConfigError", "NothingToDo", "DatasetError", "StaleJob"}
UMBRELLAS = {"ProviderError", "AccountError"}


def test_error_kinds_do_not_change() -> None:
    assert {name: kind("x").kind for name, kind in CLASSES.items()} == KINDS


def test_every_error_class_declares_a_kind_of_its_own() -> None:
    """A kind is stored: it may not follow the class's name, or be that of its parent."""
    assert all("kind" in vars(cls) for cls in CLASSES.values())


@pytest.mark.parametrize("name", sorted(set(KINDS) - WITHOUT_DEFAULT_HINT - UMBRELLAS))
def test_every_error_has_a_hint(name: str) -> None:
    assert CLASSES[name]("x").hint.endswith(".")


@pytest.mark.parametrize("name", sorted(KINDS))
def test_the_tree_in_the_docstring_is_the_tree(name: str) -> None:
    drawn = errors.__doc__ or ""
    lines = [line for line in drawn.splitlines() if line.replace("│", " ").strip("├└─ ").split(" ")[0] == name]
    assert len(lines) == 1, f"{name} is drawn {len(lines)} times"
    depth = len(CLASSES[name].__mro__) - len(OrchestratorError.__mro__)
    assert lines[0].index(name) == 4 * depth


def test_explicit_hint_replaces_the_default_hint() -> None:
    assert RateLimited("x", hint="go for a walk").hint == "go for a walk"
    assert RateLimited("x").hint == RateLimited.default_hint


def test_provider_messages_are_truncated() -> None:
    error = ProviderError("x" * 10_000, account="acme", request_id="req-1", code="c", retry_after=2)
    assert len(error.message) == len(str(error)) == MAX_MESSAGE_LENGTH
    assert (error.account, error.request_id, error.code, error.retry_after) == ("acme", "req-1", "c", 2)


def test_failure_keeps_kind_message_and_hint_of_an_error() -> None:
    error = RateLimited("slow down", request_id="req-1")
    assert Failure.from_error(error) == Failure("rate_limited", "slow down", RateLimited.default_hint, "req-1")
    assert Failure.from_error(ConfigError("no", hint="yes")) == Failure("config_error", "no", "yes", None)


def test_configuration_error_keeps_all_problems() -> None:
    finding = Finding(code="empty", severity=Severity.ERROR, file="a.json", message="m", hint="h")
    assert ConfigError("two", problems=["a", "b"]).problems == ("a", "b")
    assert DatasetError("one", findings=[finding]).findings == (finding,)


@pytest.mark.parametrize(
    ("expected", "actual", "expected_text"),
    [
        ({}, {}, None),
        ({}, {"organization": "org-2", "project": "p"}, None),
        ({"organization": "org-1"}, {}, None),
        ({"organization": "org-1"}, {"organization": "org-1"}, None),
        ({"organization": "org-1"}, {"organization": "org-2"}, "the key belongs to organisation org-2, not to org-1"),
        ({"project": "p1"}, {"project": "p2"}, "the key belongs to project p2, not to p1"),
    ],
)
def test_key_of_another_provider_is_reported(
    expected: dict[str, str], actual: dict[str, str], expected_text: str | None
) -> None:
    account, identity = an_account(**expected), AccountIdentity(**actual)
    if expected_text is None:
        identity.check(account)
        return
    with pytest.raises(WrongOrganization) as caught:
        identity.check(account)
    assert (str(caught.value), caught.value.account) == (expected_text, account.name)
