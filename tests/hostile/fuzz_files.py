"""Searches for accounts files and chats that crash the program.

    .venv/bin/python tests/hostile/fuzz_files.py accounts --minutes 30

Each place that raises is printed with a short input, and so is each slow input. `test_files.py` repeats a short part
with the same examples every time.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), *(str(ROOT / "tests" / floor / "helpers") for floor in ("hostile", "unit"))]

from hostile_inputs import ACCOUNTS_FILES, RULES, chat_folders, use_accounts_file, use_chats  # noqa: E402
from hypothesis import HealthCheck, Phase, given, settings  # noqa: E402

from orchestrator.dataset.rules import DatasetRules  # noqa: E402

SLOW_SECONDS = 10.0  # of one input, on a busy machine

COUNTS: Counter[str] = Counter()
FAILURES: dict[str, str] = {}  # the shortest input of each place that raised
SEARCH = settings(
    max_examples=300, deadline=None, suppress_health_check=list(HealthCheck), phases=(Phase.generate,), database=None
)


def use(run: Callable[[], bool], shown: str) -> None:
    """Use one input, and keep it if it fails. The search goes on: each place is reported once, with a short input."""
    started = time.perf_counter()
    try:
        COUNTS["valid" if run() else "refused"] += 1
    except Exception as error:  # noqa: BLE001 - the search goes on
        frames = traceback.extract_tb(error.__traceback__)
        place = f"{type(error).__name__} at " + " < ".join(f"{f.filename}:{f.lineno}" for f in frames[-1:-4:-1])
        COUNTS["failed"] += 1
        if place not in FAILURES:
            print(f"--- {place}\n{str(error)[:500]}\n{shown}\n", flush=True)
        FAILURES[place] = min(shown, FAILURES.get(place, shown), key=len)
    if (seconds := time.perf_counter() - started) > SLOW_SECONDS:
        print(f"--- {seconds:.1f} s for\n{shown[:5_000]}\n", flush=True)


@SEARCH
@given(ACCOUNTS_FILES)
def accounts(text: str) -> None:
    use(lambda: use_accounts_file(text), ascii(text))


@SEARCH
@given(chat_folders(), RULES)
def chats(files: dict[str, bytes], rules: DatasetRules) -> None:
    use(lambda: use_chats(files, rules), f"{files!r}\n{rules!r}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("subject", choices=["accounts", "chats"])
    parser.add_argument("--minutes", type=float, default=30)
    options = parser.parse_args()
    subject = {"accounts": accounts, "chats": chats}[options.subject]
    end = time.perf_counter() + options.minutes * 60
    while time.perf_counter() < end:
        subject()
    for place, shown in FAILURES.items():
        print(f"=== {place}\n{shown}\n")
    print(f"{options.subject}: {COUNTS.total():,} inputs ({dict(COUNTS)}), {len(FAILURES)} places failed", flush=True)
    return 1 if FAILURES else 0


if __name__ == "__main__":
    sys.exit(main())
