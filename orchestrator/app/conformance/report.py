"""The result of a conformance test: its checks, and what the service can promise at the server."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Final

from orchestrator.core.structs import Struct, asdict


class ContractResult(StrEnum):
    """LIMITED: the service works without it, with a disadvantage. MISSING: a defect of the server or its options."""

    WORKS = "works"
    LIMITED = "limited"
    MISSING = "missing"
    SKIPPED = "skipped"


class ContractCheck(Struct, frozen=True):
    """One row of the table. `conformance --json` prints these fields under these names."""

    name: str  # the part of the contract, at most 15 characters
    result: ContractResult
    message: str  # what the test found
    fix: str = ""  # what to change at the server or in the accounts file; empty: nothing


class JobRecovery(StrEnum):
    """What becomes of a job whose create was answered, and whose answer was lost."""

    FOUND = "found"
    HELD = "held"
    NOT_FOUND = "not_found"
    WRONG_JOB = "wrong_job"
    UNREADABLE = "unreadable"
    UNTESTED = "untested"


RECOVERY_TEXTS: Final[Mapping[JobRecovery, str]] = {
    JobRecovery.FOUND: "After a lost answer the job is found again by {found_by}.",
    JobRecovery.HELD: "After a lost answer the service holds the job until an operator selects the remote job.",
    JobRecovery.NOT_FOUND: "After a lost answer the job is not found again.",
    JobRecovery.WRONG_JOB: "After a lost answer the job of another run would be taken for this one.",
    JobRecovery.UNREADABLE: "The list of jobs cannot be read, and the service creates no job without it.",
    JobRecovery.UNTESTED: "No job was created, so how it would be found again is unknown.",
}
PROMISE_TEXTS: Final[Mapping[JobRecovery, str]] = {
    JobRecovery.FOUND: "Exactly one job: promised.",
    JobRecovery.HELD: "Exactly one job: not promised without an operator; never two.",
    JobRecovery.NOT_FOUND: "Exactly one job: not promised; a lost answer leads to a second job.",
    JobRecovery.WRONG_JOB: "Exactly one job: not promised; an account can get the model of another run.",
    JobRecovery.UNREADABLE: "Exactly one job: not promised; no job is created at all.",
    JobRecovery.UNTESTED: "Exactly one job: not promised.",
}


class ConformanceReport(Struct, frozen=True, kw_only=True):
    """The whole result."""

    account: str
    provider: str
    base_url: str
    base_model: str
    checks: tuple[ContractCheck, ...]
    recovery: JobRecovery
    found_by: str = ""  # the sign by which the job was found again
    account_options: Mapping[str, Any]  # options of the account with which the server accepted the job
    leftovers: tuple[str, ...] = ()  # what the test could not remove, with the reason

    @property
    def is_exactly_once(self) -> bool:
        """Whether the service can promise exactly one job for each account of this server."""
        return self.recovery is JobRecovery.FOUND

    @property
    def is_conforming(self) -> bool:
        """Whether the promise holds and nothing is missing."""
        return self.is_exactly_once and all(check.result is not ContractResult.MISSING for check in self.checks)

    @property
    def recovery_text(self) -> str:
        """What becomes of a job after a lost answer, as a sentence."""
        return RECOVERY_TEXTS[self.recovery].format(found_by=self.found_by)

    @property
    def promise_text(self) -> str:
        """What the service promises, as a sentence."""
        return PROMISE_TEXTS[self.recovery]


def report_to_json(report: ConformanceReport) -> dict[str, Any]:
    """Convert the report to the document of `conformance --json`."""
    return {
        **asdict(report),
        "found_by": report.found_by or None,
        "exactly_once": report.is_exactly_once,
        "conforms": report.is_conforming,
    }
