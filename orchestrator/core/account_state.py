"""What the database knows of an account besides the accounts file, and the changes that a job's step makes to it."""

from __future__ import annotations

from typing import Final, Self, assert_never

from orchestrator.core.account import Account, AccountIdentity, ProviderName
from orchestrator.core.errors import WrongOrganization
from orchestrator.core.hold import Hold, HoldKind
from orchestrator.core.structs import Struct, replace

BLOCKING_HOLD_KINDS: Final = frozenset(
    {HoldKind.BY_OPERATOR.value, HoldKind.KEY_MISSING.value, WrongOrganization.kind}
)
"""Holds of an account under which nothing at all is sent: an operator forbids it, or the key is missing or another's.

Every hold stops the jobs. Under the others finished models are still called and checked: an account that may no
longer train has models that work.
"""


class AccountState(Struct, frozen=True, kw_only=True):
    """The stored state of an account. Times are epoch seconds, UTC."""

    name: str  # as in the accounts file; the primary key
    provider: ProviderName
    definition: str  # digest of everything that decides which key is used where; a change verifies the account again
    key_fingerprint: str  # eight hex digits of the key's hash; distinguishes keys without revealing them
    organization: str | None = None  # as the provider reports it, else as the accounts file names it
    project: str | None = None  # likewise
    labels: tuple[str, ...] = ()  # from the accounts file, for filters
    verified_at: float | None = None  # when the provider last accepted the key; None: verify before anything is sent
    removed_at: float | None = None  # when the account disappeared from the accounts file
    hold: Hold | None = None  # stops all jobs of the account, except a cancel
    webhook_seen_at: float | None = None  # when the provider's last webhook about one of its jobs arrived

    @property
    def is_held_by_operator(self) -> bool:
        """Whether an operator holds the account: only an operator's release ends that hold."""
        return self.hold is not None and self.hold.kind == HoldKind.BY_OPERATOR

    def find_blocking_hold(self, now: float) -> Hold | None:
        """Return the hold if nothing at all may be sent for the account, see BLOCKING_HOLD_KINDS."""
        hold = self.hold
        return hold if hold is not None and hold.kind in BLOCKING_HOLD_KINDS and hold.is_active(now) else None


class AccountVerified(Struct, frozen=True):
    """The provider accepted the account's key at `at`, and named its organisation and project."""

    organization: str | None
    project: str | None
    at: float

    @classmethod
    def from_identity(cls, account: Account, identity: AccountIdentity, at: float) -> Self:
        """Build it from what the provider names; what it does not name is taken from the accounts file."""
        return cls(identity.organization or account.organization, identity.project or account.project, at)


class AccountHeld(Struct, frozen=True):
    """A call failed in a way that affects the whole account. Its key is verified again after the release.

    The hold of an operator stays: reading the accounts file again lifts some of the other holds, and the account's
    jobs would then be submitted although the operator stopped them.
    """

    hold: Hold


AccountUpdate = AccountVerified | AccountHeld
"""A change that is recorded with a job's outcome. It is applied to the state as the database has it by then."""


def apply_account_update(state: AccountState, update: AccountUpdate) -> AccountState:
    """Return the state after the update."""
    match update:
        case AccountVerified(organization, project, at):
            return replace(state, organization=organization, project=project, verified_at=at)
        case AccountHeld(hold):
            return replace(state, hold=state.hold if state.is_held_by_operator else hold, verified_at=None)
        case _:
            assert_never(update)
