from __future__ import annotations

import pytest
from core_values import NOW
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.notifications.delivery import RETRY_DELAYS_SECONDS, Delivery, after_attempt
from orchestrator.core.notifications.notification import TOPIC_DESCRIPTIONS, Topic


def a_delivery(attempts: int) -> Delivery:
    return Delivery(
        id=1,
        message="msg_1",
        target="https://host/",
        topic=Topic.MODEL_READY,
        payload={},
        created_at=NOW,
        attempts=attempts,
        due_at=NOW,
    )


def test_accepted_delivery_is_finished() -> None:
    after = after_attempt(a_delivery(3), None, now=NOW, jitter=0.5)
    assert (after.delivered_at, after.due_at, after.error, after.is_failed) == (NOW, None, None, False)


@given(jitter=st.floats(0, 1))
def test_delivery_is_dead_after_eight_attempts_in_about_a_day(jitter: float) -> None:
    at, waits = NOW, []
    for attempts in range(1, 8):
        after = after_attempt(a_delivery(attempts), "500: no", now=at, jitter=jitter)
        assert after.due_at is not None
        assert not after.is_failed
        waits.append(after.due_at - at)
        at = after.due_at
    assert after_attempt(a_delivery(8), "500: no", now=at, jitter=jitter).is_failed
    assert waits == pytest.approx([delay * (0.75 + jitter / 2) for delay in RETRY_DELAYS_SECONDS])
    assert 0.7 * 86_400 < sum(waits) < 1.3 * 86_400


def test_every_topic_has_a_meaning() -> None:
    assert set(TOPIC_DESCRIPTIONS) == set(Topic)


def test_status_of_a_delivery_is_named_in_the_words_of_the_glossary() -> None:
    pending = a_delivery(1)
    failed = after_attempt(a_delivery(8), "500: no", now=NOW, jitter=0.5)
    delivered = after_attempt(a_delivery(8), None, now=NOW, jitter=0.5)
    assert [each.status.label for each in (pending, failed, delivered)] == ["pending", "failed", "delivered"]
    assert [each.status.value for each in (pending, failed, delivered)] == ["waiting", "dead", "arrived"]
    assert (failed.error, delivered.error) == ("500: no", None)
