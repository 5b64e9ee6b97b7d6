"""The changes that a job's step makes to its account."""

from __future__ import annotations

from core_values import NOW

from orchestrator.core.account import ProviderName
from orchestrator.core.account_state import AccountHeld, AccountState, AccountVerified, apply_account_update
from orchestrator.core.hold import Hold, HoldKind
from orchestrator.core.structs import replace

STATE = AccountState(
    name="acme", provider=ProviderName.OPENAI, definition="d", key_fingerprint="f", organization="old", labels=("eu",)
)
HOLD = Hold("authentication_failed", "401", "Correct the key.")


def test_verification_records_the_identity_and_keeps_the_rest() -> None:
    verified = apply_account_update(replace(STATE, hold=HOLD), AccountVerified("org-1", "proj-1", NOW))
    assert verified == replace(STATE, hold=HOLD, organization="org-1", project="proj-1", verified_at=NOW)


def test_held_account_is_verified_again_after_its_release() -> None:
    held = apply_account_update(replace(STATE, verified_at=NOW), AccountHeld(HOLD))
    assert held == replace(STATE, hold=HOLD, verified_at=None)


def test_failed_call_keeps_the_hold_of_an_operator() -> None:
    by_operator = Hold(HoldKind.BY_OPERATOR, "do not spend", "Release the account.")
    held = apply_account_update(replace(STATE, verified_at=NOW, hold=by_operator), AccountHeld(HOLD))
    assert held == replace(STATE, hold=by_operator, verified_at=None)


def test_updates_are_data() -> None:
    assert AccountHeld(HOLD) == AccountHeld(replace(HOLD))
    assert repr(AccountVerified("org-1", None, 1.0)) == "AccountVerified(organization='org-1', project=None, at=1.0)"
