"""Verb: what an operator may ask, and of which jobs it makes sense."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from orchestrator.core.hold import HoldKind
from orchestrator.core.lifecycle import ENDS, State


class Verb(StrEnum):
    """The first three are asked of the run, four of accounts, one of a job, and the last of deliveries."""

    APPROVE = "approve"
    WAIVE = "waive"
    START = "start"
    CANCEL = "cancel"
    RETRY = "retry"
    HOLD = "hold"
    RELEASE = "release"
    ADOPT = "adopt"
    REDELIVER = "redeliver"


OF_RUN: Final = (Verb.APPROVE, Verb.WAIVE, Verb.START)
OF_ACCOUNTS: Final = (Verb.CANCEL, Verb.RETRY, Verb.HOLD, Verb.RELEASE)
_NOT_RELEASED: Final = frozenset(HoldKind) - {HoldKind.BY_OPERATOR}  # each of these needs something else


def applies(verb: Verb, state: str, *, held: bool, kind: str | None) -> bool:
    """Whether the verb changes a job in this state; `kind` is that of the error that is shown of it."""
    match verb:
        case Verb.CANCEL:
            return state not in {*ENDS, State.CANCELLING}
        case Verb.RETRY:
            return state == State.FAILED
        case Verb.RELEASE:
            return held and kind not in _NOT_RELEASED
        case _:
            return True
