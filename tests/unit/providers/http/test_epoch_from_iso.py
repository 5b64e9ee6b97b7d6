"""Times in responses of providers."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from orchestrator.providers.http.rest_client import epoch_from_iso


@pytest.fixture(params=["UTC", "Asia/Tokyo", "America/New_York"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The time zone of the machine."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("zone")
@pytest.mark.parametrize(
    "text", ["2026-01-02T03:04:05Z", "2026-01-02T03:04:05", "2026-01-02T05:04:05+02:00", "2026-01-02 03:04:05"]
)
def test_time_is_the_same_in_every_zone_of_the_machine(text: str) -> None:
    assert epoch_from_iso(text) == 1_767_323_045


@pytest.mark.parametrize("text", [None, "", 7, "soon", "2026-13-01T00:00:00Z", "2026-01-02T03:04:05Z junk", []])
def test_anything_else_is_no_time(text: object) -> None:
    assert epoch_from_iso(text) is None


def test_times_at_the_ends_of_the_calendar_are_times() -> None:
    assert epoch_from_iso("0001-01-01T00:00:00") is not None
    assert epoch_from_iso("9999-12-31T23:59:59+23:59") is not None
