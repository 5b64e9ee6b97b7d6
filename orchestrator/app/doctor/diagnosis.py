"""Diagnosis: what was found out about one thing, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from orchestrator.core.errors import ConfigError


class Verdict(StrEnum):
    """An error would stop a run or the service, a warning may."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One line of the doctor's. `fix` is empty where nothing need be done."""

    thing: str
    verdict: Verdict
    message: str
    fix: str = ""


def fine(thing: str, message: str) -> Diagnosis:
    """All is well."""
    return Diagnosis(thing, Verdict.OK, message)


def doubtful(thing: str, message: str, fix: str) -> Diagnosis:
    """It may go wrong."""
    return Diagnosis(thing, Verdict.WARNING, message, fix)


def wrong(thing: str, message: str, fix: str) -> Diagnosis:
    """It will go wrong."""
    return Diagnosis(thing, Verdict.ERROR, message, fix)


def faults(thing: str, error: ConfigError) -> Iterator[Diagnosis]:
    """An error of ours, a line for each of its problems."""
    for problem in error.problems or (error.message,):
        yield wrong(thing, problem, error.hint)
