"""Error kinds are stored in databases and read by alerts: they stay when a class is renamed."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.core.errors import OrchestratorError

KINDS = {
    "account_error",
    "ambiguous",
    "authentication_failed",
    "certificate_not_trusted",
    "config_error",
    "daily_limit",
    "database_away",
    "database_busy",
    "dataset_changed",
    "dataset_error",
    "illegal_transition",
    "not_ready",
    "nothing_to_do",
    "orchestrator_error",
    "provider_error",
    "provider_unavailable",
    "proxy_refused",
    "quota_exhausted",
    "rate_limited",
    "remote_missing",
    "request_rejected",
    "slots_taken",
    "stale_job",
    "temporary_error",
    "training_not_allowed",
    "unknown_outcome",
    "unsafe_plan",
    "upload_address_refused",
    "upload_differs",
    "wrong_organization",
}


def subclasses(parent: type[OrchestratorError]) -> Iterator[type[OrchestratorError]]:
    yield parent
    for child in parent.__subclasses__():
        yield from subclasses(child)


def test_every_error_class_declares_a_kind_of_its_own() -> None:
    classes = [cls for cls in subclasses(OrchestratorError) if cls.__module__.startswith("orchestrator")]
    assert all("kind" in vars(cls) for cls in classes)
    assert len({cls.kind for cls in classes}) == len(classes)


def test_error_kinds_are_those_of_earlier_releases() -> None:
    assert {cls.kind for cls in subclasses(OrchestratorError)} >= KINDS
