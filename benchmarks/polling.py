"""Requests and delay of polling: adaptive against fixed intervals of 10 s and 60 s, in virtual time.

    python benchmarks/polling.py --jobs 1000 --seed 1

A run of so many jobs, submitted over ten minutes. Durations: `alike` is a queue of 2 minutes (log-normal, sigma 0.6)
and a training of 30 minutes (normal, 10 %); `unlike` is 30 minutes with a log-normal spread of sigma 0.5; `short` is
5 minutes with 10 %. One in a hundred fails within the first minute. The same durations for each way of polling; the
rule is the program's own, `orchestrator/core/jobs/poll_interval.py`, and knows only what was found before.
"""

from __future__ import annotations

import argparse
import heapq
import random
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field

from harness import report

from orchestrator.core.jobs.poll_interval import end_window_from_durations, next_poll_delay
from orchestrator.core.jobs.retry_policy import proportional_poll_delay

SHORTEST, LONGEST = 2.0, 60.0  # the defaults of ORCHESTRATOR_POLL_MIN_SECONDS and ORCHESTRATOR_POLL_MAX_SECONDS
NEWEST = 200  # durations the service learns from
Rule = Callable[[float, "Known", float], float]
RULES: dict[str, Rule] = {
    "fixed 10 s": lambda passed, known, jitter: 10.0,
    "fixed 60 s": lambda passed, known, jitter: 60.0,
    "a fifth of the wait": lambda passed, known, jitter: proportional_poll_delay(passed, SHORTEST, LONGEST, jitter),
    "adaptive": lambda passed, known, jitter: next_poll_delay(
        passed,
        end_window_from_durations(known.newest, known.ended, known.open),
        min_delay=SHORTEST,
        max_delay=LONGEST,
        jitter=jitter,
    ),
}


@dataclass(slots=True)
class Known:
    """What the service knows of the run's jobs."""

    open: int
    ended: int = 0
    newest: list[float] = field(default_factory=list)


DURATIONS: dict[str, Callable[[random.Random], float]] = {
    "alike": lambda chance: chance.lognormvariate(4.8, 0.6) + max(60.0, chance.gauss(1800, 180)),
    "unlike": lambda chance: 1800 * chance.lognormvariate(0, 0.5),
    "short": lambda chance: max(10.0, chance.gauss(300, 30)),
}


def simulate(rule: Rule, lasts: list[float], fails: list[bool], seed: int) -> dict[str, float]:
    """Poll every job until its end is detected."""
    chance = random.Random(seed)
    begins = [chance.uniform(0, 600) for _ in lasts]
    looks = [(begin + SHORTEST, job) for job, begin in enumerate(begins)]
    heapq.heapify(looks)
    known = Known(open=len(lasts))
    delays: list[float] = []
    requests = 0
    while looks:
        now, job = heapq.heappop(looks)
        passed, requests = now - begins[job], requests + 1
        if passed >= lasts[job]:
            delays.append(passed - lasts[job])
            known.open -= 1
            if not fails[job]:
                known.ended += 1
                known.newest = [*known.newest[-NEWEST + 1 :], passed]
        else:
            heapq.heappush(looks, (now + rule(passed, known, chance.random()), job))
    ordered = sorted(delays)
    return {
        "requests a job-hour": round(requests / (sum(lasts) / 3600), 1),
        "delay p50": round(statistics.median(ordered), 1),
        "delay p95": round(ordered[len(ordered) * 95 // 100], 1),
    }


def compare(jobs: int, seed: int) -> dict[str, object]:
    """Each rule on the same durations."""
    found: dict[str, object] = {"jobs": jobs, "seed": seed}
    for name, duration in DURATIONS.items():
        chance = random.Random(seed)
        fails = [chance.random() < 0.01 for _ in range(jobs)]
        lasts = [chance.uniform(5, 60) if fail else duration(chance) for fail in fails]
        figures = {rule: simulate(RULES[rule], lasts, fails, seed) for rule in RULES}
        often = figures["fixed 10 s"]["requests a job-hour"]
        for values in figures.values():
            values["requests to fixed 10 s"] = round(values["requests a job-hour"] / often, 2)
        found[name] = figures
    return found


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description="Compare ways of polling, in virtual time.")
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    report("polling", compare(given.jobs, given.seed))


if __name__ == "__main__":
    main()
