"""Verb: what an operator may ask, and of which jobs it makes sense."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from orchestrator.core.hold import HoldKind
from orchestrator.core.jobs.lifecycle import TERMINAL_STATES, JobState


class OperatorAction(StrEnum):
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


RUN_ACTIONS: Final = (OperatorAction.APPROVE, OperatorAction.WAIVE, OperatorAction.START)
ACCOUNT_ACTIONS: Final = (OperatorAction.CANCEL, OperatorAction.RETRY, OperatorAction.HOLD, OperatorAction.RELEASE)
_UNRELEASABLE_KINDS: Final = frozenset(HoldKind) - {HoldKind.BY_OPERATOR}  # each of these needs something else


def is_applicable(action: OperatorAction, state: str, *, held: bool, error_kind: str | None) -> bool:
    """Whether the verb changes a job in this state; `kind` is that of the error that is shown of it."""
    match action:
        case OperatorAction.CANCEL:
            return state not in {*TERMINAL_STATES, JobState.CANCELLING}
        case OperatorAction.RETRY:
            return state == JobState.FAILED
        case OperatorAction.RELEASE:
            return held and error_kind not in _UNRELEASABLE_KINDS
        case _:
            return True
