"""False alarms and detection of the comparison, over worlds with a known truth.

In one process, with invented answers:
PYTHONPATH=.:tests/unit/helpers:tests/integration/helpers .venv/bin/python benchmarks/comparison.py --worlds 40
Over HTTP, with the answers of a sandbox in a process of its own: the same with --sandbox.
With answers in another language instead of changed answers, in one process: --other-language.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from comparison_worlds import World, create_input
from harness import orchestrator, report
from sandbox_worlds import SandboxWorlds

from orchestrator.core.comparison.comparator import ComparisonInput, compare_models
from orchestrator.core.comparison.verdict import ComparisonVerdict
from orchestrator.providers.http.client import create_http_client

FIRST_SEED = 100  # the unit tests use lower ones: limits that were chosen on a seed prove nothing on it
SHARES = (0.0, 0.2, 0.4, 0.7)
LANGUAGE_SHARES = (0.0, 0.1, 0.2, 0.3)
# Share of the worlds in which the changed account should be found, from the simulation that the method is based on,
# by number of accounts, number of probes and changed share.
TARGETS = {
    (3, 60, 0.4): 0.40,
    (3, 60, 0.7): 0.96,
    (3, 120, 0.4): 0.56,
    (3, 120, 0.7): 1.0,
    (5, 60, 0.4): 0.54,
    (5, 60, 0.7): 0.99,
    (5, 120, 0.4): 0.76,
    (5, 120, 0.7): 1.0,
    (10, 60, 0.4): 0.52,
    (10, 60, 0.7): 1.0,
    (10, 120, 0.4): 0.82,
    (10, 120, 0.7): 1.0,
}


@dataclass(frozen=True, slots=True)
class Case:
    """One line of the table."""

    accounts: int
    probes: int
    changed: float


@dataclass(slots=True)
class Tally:
    """The verdicts of all worlds of one line."""

    changed: Counter[ComparisonVerdict] = field(default_factory=Counter)
    others: Counter[ComparisonVerdict] = field(default_factory=Counter)
    seconds: float = 0.0

    def add(self, given: ComparisonInput) -> None:
        """Compare the models of one world, the last of which is the changed one."""
        begin = time.process_time()
        *unchanged, last = (each.verdict for each in compare_models(given).gate.verdicts)
        self.seconds += time.process_time() - begin
        self.changed[last] += 1
        self.others.update(unchanged)


def main() -> None:
    """Print a Markdown table with one line for each size and share of changed answers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=40)
    parser.add_argument("--accounts", type=int, nargs="+", default=[2, 3, 5, 10])
    parser.add_argument("--probes", type=int, nargs="+", default=[60, 120])
    parser.add_argument("--other-language", action="store_true", help="answer in German instead of another text")
    parser.add_argument("--sandbox", action="store_true", help="ask a sandbox over HTTP")
    options = parser.parse_args()
    cases = [
        Case(accounts, probes, share)
        for accounts in options.accounts
        for probes in options.probes
        for share in SHARES
    ]
    tallies: defaultdict[Case, Tally] = defaultdict(Tally)
    seeds = range(FIRST_SEED, FIRST_SEED + options.worlds)
    if options.other_language:
        cases = [replace(case, changed=share) for case in cases if not case.changed for share in LANGUAGE_SHARES]
        tally_invented_worlds(cases, seeds, tallies, is_language=True)
    elif options.sandbox:
        asyncio.run(tally_sandbox_worlds(cases, seeds, tallies))
    else:
        tally_invented_worlds(cases, seeds, tallies)
    for line in format_table(tallies):
        print(line)
    report("comparison-sandbox" if options.sandbox else "comparison", build_figures(tallies, options.worlds))


def tally_invented_worlds(
    cases: Sequence[Case], seeds: Sequence[int], tallies: dict[Case, Tally], *, is_language: bool = False
) -> None:
    """Compare worlds whose answers are made in this process."""
    for case in cases:
        for seed in seeds:
            world = World(seed=seed, accounts=case.accounts, probes=case.probes)
            knob = {"other_language" if is_language else "changed": case.changed}
            tallies[case].add(create_input(replace(world, **knob)))  # type: ignore[arg-type]


async def tally_sandbox_worlds(cases: Sequence[Case], seeds: Sequence[int], tallies: dict[Case, Tally]) -> None:
    """Compare worlds whose answers a sandbox gives. One asking of a world serves all its cases."""
    ordinary = [f"ordinary-{number:03}" for number in range(max(case.accounts for case in cases) - 1)]
    changed = {f"changed-{share:.0%}".rstrip("%"): share for share in SHARES}
    names = {share: account for account, share in changed.items()}
    http = create_http_client(max_connections=32)
    try:
        with run_sandbox() as url:
            worlds = SandboxWorlds(http, url)
            await worlds.prepare(ordinary, changed)
            for seed in seeds:
                begin = time.perf_counter()
                world = await worlds.ask_world(seed, max(case.probes for case in cases))
                for case in cases:
                    accounts = [*ordinary[: case.accounts - 1], names[case.changed]]
                    tallies[case].add(world.create_input(accounts, case.probes))
                print(f"world {seed}: {time.perf_counter() - begin:.0f} s", file=sys.stderr, flush=True)
    finally:
        await http.aclose()


@contextmanager
def run_sandbox() -> Iterator[str]:
    """A sandbox in a process of its own; its base URL."""
    command = orchestrator("sandbox", "--port", "0", "--seconds", "0.5")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if found := re.search(r"http://\S+/v1", line):
                yield found[0]
                return
        raise SystemExit("the sandbox did not start")
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def format_table(tallies: dict[Case, Tally]) -> Iterator[str]:
    """Yield the lines of the table."""
    yield "| accounts | probes | changed | its account: different / not sure / alike | target | the others | CPU |"
    yield "|---|---|---|---|---|---|---|"
    for case, tally in tallies.items():
        target = TARGETS.get((case.accounts, case.probes, case.changed))
        verdicts = f"{format_verdicts(tally.changed)} | {format_target(target)} | {format_verdicts(tally.others)}"
        seconds = tally.seconds / tally.changed.total()
        yield f"| {case.accounts} | {case.probes} | {case.changed:.0%} | {verdicts} | {seconds:.2f} s |"


def format_target(target: float | None) -> str:
    """Return the share that should be found; empty if there is none."""
    return "" if target is None else f"{target:.0%}"


def format_verdicts(counts: Counter[ComparisonVerdict]) -> str:
    """Return the shares of the three verdicts in the order of the heading."""
    order = ComparisonVerdict.DIFFERENT, ComparisonVerdict.NOT_SURE, ComparisonVerdict.ALIKE
    return " / ".join(f"{counts[each] / counts.total():.1%}" for each in order)


def build_figures(tallies: dict[Case, Tally], worlds: int) -> dict[str, Any]:
    """Return the counts of all lines."""
    return {
        "worlds": worlds,
        "lines": [
            {
                "accounts": case.accounts,
                "probes": case.probes,
                "changed": case.changed,
                "verdicts": {verdict.value: count for verdict, count in tally.changed.items()},
                "others": {verdict.value: count for verdict, count in tally.others.items()},
                "seconds": round(tally.seconds / tally.changed.total(), 3),
            }
            for case, tally in tallies.items()
        ],
    }


if __name__ == "__main__":
    main()
