"""Diagnosis: what was found out about one thing, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from orchestrator.core.errors import ConfigError


class DiagnosisStatus(StrEnum):
    """An error would stop a run or the service, a warning may."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One line of the doctor's. `fix` is empty where nothing need be done."""

    thing: str
    verdict: DiagnosisStatus
    message: str
    fix: str = ""


def ok_diagnosis(thing: str, message: str) -> Diagnosis:
    """All is well."""
    return Diagnosis(thing, DiagnosisStatus.OK, message)


def warning_diagnosis(thing: str, message: str, fix: str) -> Diagnosis:
    """It may go wrong."""
    return Diagnosis(thing, DiagnosisStatus.WARNING, message, fix)


def error_diagnosis(thing: str, message: str, fix: str) -> Diagnosis:
    """It will go wrong."""
    return Diagnosis(thing, DiagnosisStatus.ERROR, message, fix)


def diagnoses_from_error(thing: str, error: ConfigError) -> Iterator[Diagnosis]:
    """An error of ours, a line for each of its problems."""
    for problem in error.problems or (error.message,):
        yield error_diagnosis(thing, problem, error.hint)
