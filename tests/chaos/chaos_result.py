"""The result of a chaos experiment, and whether it passed."""

from __future__ import annotations

from dataclasses import dataclass

MAX_AFFORDED = 2  # jobs that the budget of account-0 pays for


@dataclass(frozen=True, slots=True)
class ChaosResult:
    """What was found at the sandbox and in the service's own status at the end.

    Whenever everything is done before the kills are, other seeds make it all over again: `runs` counts all runs.
    """

    accounts: int
    runs: int
    poor: int
    """Accounts with a budget for MAX_AFFORDED jobs: 1 with several runs at once, otherwise 0."""
    points: int
    kills: int
    faults: int
    jobs: int
    duplicates: int
    orphans: int
    models: int
    expected_models: int
    poor_jobs: int
    """Jobs in the accounts with a budget."""
    most_at_once: int
    """Most jobs that one account had at the sandbox at the same time."""
    slots: int
    violations: int
    """Jobs that took a slot which belonged to a ready job of a run with a higher priority."""

    @property
    def passed(self) -> bool:
        return (
            not self.duplicates
            and not self.orphans
            and self.jobs - self.poor_jobs == self.runs * (self.accounts - self.poor)
            and self.poor_jobs == self.poor * MAX_AFFORDED
            and self.models == self.expected_models
            and self.most_at_once <= self.slots
            and not self.violations
        )

    def __str__(self) -> str:
        return (
            f"runs {self.runs}, accounts {self.accounts}, kills {self.kills} ({self.points} at named points), "
            f"faults {self.faults}, jobs {self.jobs}, models {self.models}, "
            f"duplicates {self.duplicates}, orphans {self.orphans}, most jobs at once {self.most_at_once} of "
            f"{self.slots}, jobs in the account with a budget for {MAX_AFFORDED * self.poor}: {self.poor_jobs}, "
            f"violations of the order {self.violations}"
        )
