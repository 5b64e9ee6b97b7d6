"""Trouble: what waits for a person, grouped by cause, each cause with its next step."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from orchestrator.core.errors import Failure
from orchestrator.core.lifecycle import State
from orchestrator.status import Health, JobView, RunView, Status
from orchestrator.web.query import Query
from orchestrator.web.tone import TONES, shown_state

NAMED: Final = 5  # accounts that are named; a link leads to all of them
_UNTOLD: Final = Failure("unknown", "no reason was recorded", "Look at the service's log.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """One cause: an example of its message, and the first accounts that have it, each with its address."""

    kind: str
    tone: str
    message: str
    hint: str
    alike: bool
    count: int
    accounts: tuple[tuple[str, str], ...]
    href: str

    @property
    def more(self) -> int:
        """Accounts that are not named."""
        return self.count - len(self.accounts)


def needs_person(job: JobView, run: RunView | None) -> bool:
    """Whether this account waits for someone. What holds the whole run is told once, not of each account."""
    if job.held and run is not None and job.error in run.holds:
        return False
    return job.held or job.state == State.FAILED


def troubles(needy: Sequence[JobView]) -> tuple[Trouble, ...]:
    """The causes, the most frequent first."""
    causes: dict[tuple[str, str], list[JobView]] = defaultdict(list)
    for job in needy:
        error = job.error or _UNTOLD
        causes[error.kind, error.hint].append(job)
    return tuple(_trouble(jobs) for jobs in sorted(causes.values(), key=len, reverse=True))


def notices(status: Status, health: Health) -> Iterator[Failure]:
    """What is wrong with the service or the run as a whole."""
    if not health.database:
        yield Failure("database", "the database does not answer", "See that it runs and can be reached.")
    elif not health.ticking:
        yield Failure("not_ticking", "the service does not work on the jobs now", "Look at the service's log.")
    if health.problem:
        yield health.problem
    if status.run:
        yield from status.run.holds


def _trouble(jobs: Sequence[JobView]) -> Trouble:
    errors = [job.error or _UNTOLD for job in jobs]
    return Trouble(
        kind=errors[0].kind,
        tone=TONES[shown_state(jobs[0])],
        message=errors[0].message,
        hint=errors[0].hint,
        alike=len({error.message for error in errors}) == 1,
        count=len(jobs),
        accounts=tuple((job.account, Query(text=job.account).href) for job in jobs[:NAMED]),
        href=Query(text=errors[0].kind).href,
    )
