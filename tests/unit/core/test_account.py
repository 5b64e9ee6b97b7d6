from __future__ import annotations

import pytest
from core_values import an_account

from orchestrator.core.account import AccountIdentity
from orchestrator.core.errors import WrongOrganization


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
