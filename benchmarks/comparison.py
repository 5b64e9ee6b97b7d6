"""False alarms and detection of the comparison, over invented worlds with a known truth.

PYTHONPATH=.:tests/unit/helpers .venv/bin/python benchmarks/comparison.py --worlds 40
"""

from __future__ import annotations

import argparse
import time
from collections import Counter

from comparison_worlds import World, create_input

from orchestrator.core.comparison.comparator import compare_models
from orchestrator.core.comparison.verdict import ComparisonVerdict

FIRST_SEED = 100  # the unit tests use lower ones: limits that were chosen on a seed prove nothing on it
SHARES = (0.0, 0.2, 0.4, 0.7)


def main() -> None:
    """Print one line of a Markdown table for each size and share of changed answers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=40)
    parser.add_argument("--accounts", type=int, nargs="+", default=[2, 3, 5, 10])
    parser.add_argument("--probes", type=int, nargs="+", default=[60, 120])
    options = parser.parse_args()
    print("| accounts | probes | changed | its account: different / not sure / alike | the others | CPU |")
    print("|---|---|---|---|---|---|")
    for accounts in options.accounts:
        for probes in options.probes:
            for share in SHARES:
                print(format_line(options.worlds, accounts, probes, share), flush=True)


def format_line(worlds: int, accounts: int, probes: int, share: float) -> str:
    """Compare so many worlds and return their line."""
    changed: Counter[ComparisonVerdict] = Counter()
    others: Counter[ComparisonVerdict] = Counter()
    begin = time.process_time()
    for seed in range(FIRST_SEED, FIRST_SEED + worlds):
        result = compare_models(create_input(World(seed=seed, accounts=accounts, probes=probes, changed=share)))
        *unchanged, last = (each.verdict for each in result.gate.verdicts)
        changed[last] += 1
        others.update(unchanged)
    seconds = (time.process_time() - begin) / worlds
    verdicts = f"{format_verdicts(changed)} | {format_verdicts(others)}"
    return f"| {accounts} | {probes} | {share:.0%} | {verdicts} | {seconds:.2f} s |"


def format_verdicts(counts: Counter[ComparisonVerdict]) -> str:
    """Return the shares of the three verdicts in the order of the heading."""
    order = ComparisonVerdict.DIFFERENT, ComparisonVerdict.NOT_SURE, ComparisonVerdict.ALIKE
    return " / ".join(f"{counts[each] / counts.total():.1%}" for each in order)


if __name__ == "__main__":
    main()
