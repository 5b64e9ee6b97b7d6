"""Diagnosis: the result of one check, with the fix if there is a problem."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

from orchestrator.core.errors import ConfigError
from orchestrator.core.structs import Struct


class DiagnosisStatus(StrEnum):
    """An error prevents a run or the service from working; a warning may do so."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


class Diagnosis(Struct, frozen=True):
    """One line of `orchestrator doctor`. `doctor --json` prints these fields under these names."""

    thing: str
    """The subject of the check, for example `keys`; at most 14 characters, the width of its column."""
    verdict: DiagnosisStatus
    message: str
    """What the check found, in one line."""
    fix: str = ""
    """What to do; empty if nothing needs to be done."""


def ok_diagnosis(thing: str, message: str) -> Diagnosis:
    """Build the diagnosis of a check without a problem."""
    return Diagnosis(thing, DiagnosisStatus.OK, message)


def warning_diagnosis(thing: str, message: str, fix: str) -> Diagnosis:
    """Build the diagnosis of a problem that may prevent a run."""
    return Diagnosis(thing, DiagnosisStatus.WARNING, message, fix)


def error_diagnosis(thing: str, message: str, fix: str) -> Diagnosis:
    """Build the diagnosis of a problem that prevents a run."""
    return Diagnosis(thing, DiagnosisStatus.ERROR, message, fix)


def diagnoses_from_error(thing: str, error: ConfigError) -> Iterator[Diagnosis]:
    """Yield an error diagnosis for each problem of a ConfigError, or for its message if it lists none."""
    for problem in error.problems or (error.message,):
        yield error_diagnosis(thing, problem, error.hint)
