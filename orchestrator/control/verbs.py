"""Verbs: what an operator may ask, by name."""

from __future__ import annotations

from enum import StrEnum


class Verb(StrEnum):
    """The first three are asked of the run, the others of accounts."""

    APPROVE = "approve"
    WAIVE = "waive"
    START = "start"
    CANCEL = "cancel"
    RETRY = "retry"
    HOLD = "hold"
    RELEASE = "release"
