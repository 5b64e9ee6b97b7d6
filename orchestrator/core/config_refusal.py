"""Rejected configuration changes: why an edit of the accounts file or of its chats is not applied.

A service that rejects an edit continues with the previous configuration. It keeps the refusal in memory for its
dashboard and `/status`, and stores it in its replica row for `orchestrator status`, which is another process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from orchestrator.core.errors import ConfigError, DatasetError, Failure, OrchestratorError
from orchestrator.core.secret import Redactor
from orchestrator.core.structs import Struct, asdict, replace
from orchestrator.core.text import format_list

MAX_FINDINGS: Final = 10  # findings that a refusal names
MAX_TEXT_LENGTH: Final = 2000  # characters of a message or a finding: what an edit contains may be of any size


class ConfigRefusal(Struct, frozen=True):
    """Why an edit was rejected. The field names are stored."""

    cause: Failure
    at: float  # epoch seconds, UTC
    findings: tuple[str, ...] = ()  # the first problems of the edit
    more: int = 0  # number of further problems

    @property
    def failure(self) -> Failure:
        """The error with its findings in one message, as `/status` and the dashboard show it."""
        if not self.findings:
            return self.cause
        findings = format_list(self.findings, total=len(self.findings) + self.more, separator="; ")
        return replace(self.cause, message=f"{self.cause.message} ({findings})")

    def as_dict(self) -> dict[str, Any]:
        """Convert to plain values for the database."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ConfigRefusal:
        """Build a refusal from its stored form."""
        cause, findings = Failure(**values["cause"]), tuple(values["findings"])
        return cls(cause, values["at"], findings, values["more"])


def build_refusal(error: Exception, *, at: float, redact: Redactor) -> ConfigRefusal:
    """Build the refusal of an edit that raised this error, without keys and storable in a database.

    Of an error that is not an OrchestratorError it contains only the class or, for an OSError, the system's message:
    the error's own text may quote the content of the file.
    """

    def clean(text: str) -> str:
        # A lone surrogate, as in a file name that is not UTF-8, can be neither sent nor stored.
        return redact.truncate(text, MAX_TEXT_LENGTH).encode(errors="replace").decode().replace("\0", "")

    cause = _failure_from_error(error)
    problems = _list_findings(error)
    findings = tuple(clean(text) for text in problems[:MAX_FINDINGS])
    cause = replace(cause, message=clean(cause.message), hint=clean(cause.hint))
    return ConfigRefusal(cause, at, findings, len(problems) - len(findings))


def merge_refusals(by_run: Mapping[str, ConfigRefusal]) -> ConfigRefusal | None:
    """Merge the refusals of several runs, by name, into one whose text names the runs; None if there is none."""
    if not by_run:
        return None
    refusals = {
        name: replace(refusal, cause=replace(refusal.cause, message=f"run {name}: {refusal.cause.message}"))
        for name, refusal in by_run.items()
    }
    first, *others = refusals.values()
    if not others:
        return first
    findings = [f"{refusal.failure.message}. {refusal.cause.hint}".strip() for refusal in refusals.values()]
    cause = Failure(
        first.cause.kind,
        f"{len(refusals)} runs were refused",
        "Correct each of them. Their previous versions and all other runs stay in force.",
    )
    at = max(refusal.at for refusal in refusals.values())
    return ConfigRefusal(cause, at, tuple(findings[:MAX_FINDINGS]), max(len(findings) - MAX_FINDINGS, 0))


def _failure_from_error(error: Exception) -> Failure:
    if isinstance(error, OrchestratorError):
        return Failure.from_error(error)
    why = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
    return Failure(
        "internal_error",
        f"the accounts file or the dataset could not be read: {why}",
        "See the log event `accounts_file.refused` of the service. The previous configuration stays in force.",
    )


def _list_findings(error: Exception) -> Sequence[str]:
    if isinstance(error, ConfigError):
        return error.problems
    if isinstance(error, DatasetError) and len(error.findings) > 1:  # a single one is in the message already
        return [f"{finding.file}:{finding.line or 1}: {finding.message}" for finding in error.findings]
    return []
