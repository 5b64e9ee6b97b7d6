from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.secret import Redactor, Secret

KEY = "sk-canary-0123456789"


def test_a_secret_shows_itself_only_when_asked() -> None:
    secret = Secret(KEY)
    shown = f"{secret} {secret!r} {[secret]} {secret:}"
    assert KEY not in shown
    assert secret.fingerprint in shown
    assert secret.reveal() == KEY
    assert not hasattr(secret, "__dict__")


def test_a_secret_is_not_pickled() -> None:
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(Secret(KEY))


def test_a_fingerprint_tells_keys_apart_and_stays() -> None:
    assert Secret(KEY).fingerprint == Secret(KEY).fingerprint == "782a873f"
    assert Secret(KEY + "0").fingerprint != Secret(KEY).fingerprint


def test_every_known_key_is_replaced_wherever_it_stands() -> None:
    redact = Redactor()
    one, other = Secret(KEY), Secret("another-key")
    redact.add(one)
    redact.add(other)
    text = redact(f"Bearer {KEY}, again {KEY}; then {other.reveal()}.")
    one_label, other_label = f"[key {one.fingerprint}]", f"[key {other.fingerprint}]"
    assert text == f"Bearer {one_label}, again {one_label}; then {other_label}."


def test_nothing_known_changes_nothing() -> None:
    assert Redactor()(f"a {KEY}") == f"a {KEY}"


def test_an_empty_key_does_not_fill_the_text() -> None:
    redact = Redactor()
    redact.add(Secret(""))
    assert redact("text") == "text"


@pytest.mark.parametrize("first", [0, 1])
def test_a_key_that_begins_another_does_not_leave_its_rest(first: int) -> None:
    redact = Redactor()
    short, long = Secret("sk-abc"), Secret("sk-abc-tail")
    for secret in [(short, long), (long, short)][first]:
        redact.add(secret)
    assert redact("sk-abc-tail sk-abc") == f"[key {long.fingerprint}] [key {short.fingerprint}]"


keys = st.text("kKéß-_/+=", min_size=8, max_size=40)


@given(known=st.lists(keys, min_size=1, max_size=5), around=st.text(max_size=20))
def test_no_key_of_usual_length_survives(known: list[str], around: str) -> None:
    redact = Redactor()
    for key in known:
        redact.add(Secret(key))
    text = redact(around + around.join(known) + around)
    assert [key for key in known if key in text] == []
