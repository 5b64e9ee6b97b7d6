from __future__ import annotations

import pytest
from core_values import NOW, PERMANENT_HOLD, an_account, an_account_state

from orchestrator.core.account import AccountIdentity
from orchestrator.core.account_state import AccountHeld, AccountVerified, apply_account_update
from orchestrator.core.errors import WrongOrganization


def test_verified_account_has_the_owner_that_the_provider_names() -> None:
    before = an_account_state(verified_at=None, hold=PERMANENT_HOLD)
    after = apply_account_update(before, AccountVerified("org-1", "proj-1", NOW))
    assert (after.organization, after.project, after.verified_at) == ("org-1", "proj-1", NOW)
    assert after.hold == PERMANENT_HOLD


def test_held_account_is_verified_again_after_its_release() -> None:
    after = apply_account_update(an_account_state(organization="org-1"), AccountHeld(PERMANENT_HOLD))
    assert (after.hold, after.verified_at, after.organization) == (PERMANENT_HOLD, None, "org-1")


@pytest.mark.parametrize(
    ("listed", "reported", "is_refused"),
    [
        ({}, AccountIdentity("org-2", "p"), False),
        ({"organization": "org-1"}, AccountIdentity(None, None), False),
        ({"organization": "org-1"}, AccountIdentity("org-1", "p"), False),
        ({"organization": "org-1"}, AccountIdentity("org-2", None), True),
        ({"project": "p"}, AccountIdentity("org-1", "q"), True),
        ({"organization": "org-1", "project": "p"}, AccountIdentity("org-1", "q"), True),
    ],
)
def test_key_of_another_owner_than_the_listed_one_is_refused(
    listed: dict[str, str], reported: AccountIdentity, *, is_refused: bool
) -> None:
    account = an_account(**listed)
    if not is_refused:
        reported.check(account)
        return
    with pytest.raises(WrongOrganization, match="the key belongs to") as refused:
        reported.check(account)
    assert refused.value.account == "acme"
