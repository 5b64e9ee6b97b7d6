"""A run of a million accounts, divided among several databases: when all jobs have started and all ends are known.

    PYTHONPATH=. python benchmarks/scale_simulation.py --accounts 1000000

A model, not a measurement: it calls no provider and needs some seconds. Each shard is one service with its own
database. Its work is a queue of steps, the longest due first, as in `store/queries/jobs.py`: upload, create, and
polls at the times of `core/jobs/poll_interval.py`. A step is done when the shard has CPU and a free call for it.
The costs are those that the other benchmarks measured (benchmarks/README.md). The table is part of
docs/explanation/scale.md.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Final

from harness import report

from orchestrator.core.jobs.poll_interval import EndWindow, next_poll_delay

TICK_SECONDS: Final = 10.0
HORIZON_SECONDS: Final = 14 * 86_400.0
DURATIONS: Final = NormalDist(1900.0, 190.0)
"""Seconds from the create to the end of a job: queue and training, as `alike` in polling.py."""
DURATION_CLASSES: Final = tuple(DURATIONS.inv_cdf((number + 0.5) / 10) for number in range(10))
WINDOW: Final = EndWindow(DURATION_CLASSES[0] * 0.98, DURATION_CLASSES[-1] * 1.02)
SHARD_COUNTS: Final = (1, 2, 5, 10, 20, 50, 100)


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What the benchmarks measured, for one service on SQLite."""

    start_cpu: float = 0.0073
    """Seconds of CPU of an account from the upload to the created job (accounts.py, 10,000 accounts)."""
    poll_cpu: float = 0.00064
    """Seconds of CPU of an unchanged poll (idle.py)."""
    start_calls: int = 8
    """Provider calls of an account (accounts.py)."""
    efficiency: float = 0.71
    """Share of its CPU and of its calls that a busy service uses: 89 accounts a second of 125 (accounts.py)."""
    start_rows: int = 13
    """Rows that an account writes until its job is created: changes of the job, and events."""
    base_mb: float = 90.0
    """Memory of a service without jobs."""
    job_kb: float = 2.6
    """Memory of a job while `/status` is polled, at its peak (status_at_scale.py)."""
    status_kb: float = 1.07
    """A job in `/status` (status_at_scale.py)."""
    ready_ms: float = 0.22
    """Time of an open job until the service is ready after its start (start.py)."""


@dataclass(slots=True)
class Outcome:
    """What happened to one shard."""

    first_created: float = 0.0
    last_created: float = 0.0
    last_end_known: float = 0.0
    peak_polls: float = 0.0
    """Polls a second."""
    peak_rows: float = 0.0
    """Rows written a second."""
    busy_cpu: float = 0.0
    late: list[tuple[float, float]] = field(default_factory=list)
    """How long after its end a job was known to have ended, and how many jobs."""

    def get_late(self, share: float) -> float:
        """Return the lateness that this share of the jobs does not exceed."""
        ordered, total, seen = sorted(self.late), sum(count for _, count in self.late), 0.0
        for seconds, count in ordered:
            seen += count
            if seen >= share * total:
                return seconds
        return float("inf")


Step = tuple[float, int, str, float, float, float]
"""When it is due, a number that makes it unique, its kind, how many jobs, when they were created, their duration."""


class Shard:
    """One service with its database; equal steps that are due at the same time are one entry of its queue."""

    def __init__(self, accounts: float, costs: Costs, in_flight: int, latency: float) -> None:
        self._costs = costs
        self._calls_per_tick = in_flight / latency * TICK_SECONDS * costs.efficiency
        self._cpu_per_tick = TICK_SECONDS * costs.efficiency
        self._numbers = itertools.count()
        self._queue: list[Step] = []
        self._open = accounts
        self._push(0.0, "upload", accounts)
        self.outcome = Outcome()

    def run(self) -> Outcome:
        """Do all steps; return what happened."""
        now = 0.0
        while self._open > 1e-6 and now < HORIZON_SECONDS:
            now += TICK_SECONDS
            self._run_tick(now)
        return self.outcome

    def _run_tick(self, now: float) -> None:
        cpu, calls, polls, rows = self._cpu_per_tick, self._calls_per_tick, 0.0, 0.0
        while self._queue and self._queue[0][0] <= now and min(cpu, calls) > 1e-9:
            due, _, kind, count, created, duration = heapq.heappop(self._queue)
            step_cpu, step_calls = self._get_step_costs(kind)
            done = min(count, cpu / step_cpu, calls / step_calls)
            cpu, calls = cpu - done * step_cpu, calls - done * step_calls
            if done < count:
                self._push(due, kind, count - done, created, duration)
            if kind == "poll":
                polls, rows = polls + done, rows + done
                self._poll(now, done, created, duration)
            else:
                rows += done * self._costs.start_rows / 2
                self._start(now, kind, done)
        outcome = self.outcome
        outcome.peak_polls = max(outcome.peak_polls, polls / TICK_SECONDS)
        outcome.peak_rows = max(outcome.peak_rows, rows / TICK_SECONDS)
        outcome.busy_cpu = max(outcome.busy_cpu, 1 - cpu / self._cpu_per_tick)

    def _get_step_costs(self, kind: str) -> tuple[float, float]:
        if kind == "poll":
            return self._costs.poll_cpu, 1.0
        return self._costs.start_cpu / 2, self._costs.start_calls / 2

    def _start(self, now: float, kind: str, count: float) -> None:
        if kind == "upload":
            self._push(now + 2.0, "create", count)
            return
        self.outcome.first_created = self.outcome.first_created or now
        self.outcome.last_created = now
        for duration in DURATION_CLASSES:
            share = count / len(DURATION_CLASSES)
            self._push(now + self._get_delay(0.0), "poll", share, now, duration)

    def _poll(self, now: float, count: float, created: float, duration: float) -> None:
        elapsed = now - created
        if elapsed < duration:
            self._push(now + self._get_delay(elapsed), "poll", count, created, duration)
            return
        self._open -= count
        self.outcome.last_end_known = now
        self.outcome.late.append((elapsed - duration, count))

    def _get_delay(self, elapsed: float) -> float:
        return next_poll_delay(elapsed, WINDOW, min_delay=2.0, max_delay=60.0, jitter=0.5)

    def _push(self, due: float, kind: str, count: float, created: float = 0.0, duration: float = 0.0) -> None:
        heapq.heappush(self._queue, (due, next(self._numbers), kind, count, created, duration))


def simulate(accounts: int, shards: int, in_flight: int, latency: float, costs: Costs) -> dict[str, float]:
    """Return the figures of a run on so many equal shards."""
    share = accounts / shards
    outcome = Shard(share, costs, in_flight, latency).run()
    return {
        "shards": shards,
        "accounts a shard": round(share),
        "first job created, h": round(outcome.first_created / 3600, 2),
        "all jobs created, h": round(outcome.last_created / 3600, 2),
        "all ends known, h": round(outcome.last_end_known / 3600, 2),
        "end known after p95, s": round(outcome.get_late(0.95)),
        "polls a second, all shards": round(outcome.peak_polls * shards),
        "rows written a second, a shard": round(outcome.peak_rows),
        "peak CPU share": round(outcome.busy_cpu * costs.efficiency, 2),
        "memory MB": round(costs.base_mb + share * costs.job_kb / 1000),
        "status MB": round(share * costs.status_kb / 1000),
        "restart s": round(share * costs.ready_ms / 1000, 1),
    }


def format_table(rows: list[dict[str, float]]) -> str:
    """Format the figures as Markdown."""
    lines = ["| " + " | ".join(rows[0]) + " |", "|" + "---|" * len(rows[0])]
    return "\n".join(lines + ["| " + " | ".join(f"{value:,}" for value in row.values()) + " |" for row in rows])


def main() -> None:
    """Print the figures as JSON, or as the table of the document."""
    parser = argparse.ArgumentParser(description="Simulate a run on several databases.")
    parser.add_argument("--accounts", type=int, default=1_000_000)
    parser.add_argument("--in-flight", type=int, default=50, help="ORCHESTRATOR_MAX_IN_FLIGHT of each shard")
    parser.add_argument("--latency", type=float, default=0.3, help="seconds of a provider call")
    parser.add_argument("--markdown", action="store_true", help="print a table instead of JSON")
    given = parser.parse_args()
    shards = [count for count in SHARD_COUNTS if count <= given.accounts]
    rows = [simulate(given.accounts, count, given.in_flight, given.latency, Costs()) for count in shards]
    if given.markdown:
        print(format_table(rows))
    else:
        report("scale-simulation", {"accounts": given.accounts, "shards": rows})


if __name__ == "__main__":
    main()
