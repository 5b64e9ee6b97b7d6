"""Sends random requests to every route for some minutes: as operator, as reader and without a token.

    .venv/bin/python tests/hostile/fuzz_web.py --minutes 30

The seeds are new in each run and are printed with what was found. `test_web_door.py` does the same briefly in CI.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from itertools import cycle, product
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS / folder) for folder in ("", "integration/helpers", "unit/helpers", "hostile/helpers")]

from api_values import OPERATOR, READER  # noqa: E402
from hypothesis import HealthCheck, Phase, given, seed, settings  # noqa: E402
from hypothesis.errors import Unsatisfiable  # noqa: E402
from schemathesis.generation import GenerationMode  # noqa: E402
from web_fuzzing import ServedDoor, find_faults, list_operations  # noqa: E402

EXAMPLES_A_ROUND = 20


def fuzz(operation: Any, token: str, mode: GenerationMode, door: ServedDoor, counts: Counter[str]) -> None:
    """Send some requests to one operation. Raises AssertionError for an answer that must not be."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}

    @seed(random.randrange(2**32))
    @settings(
        max_examples=EXAMPLES_A_ROUND,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def send(case: Any) -> None:
        answer = case.call(base_url=door.url, headers=headers, allow_redirects=False)
        counts[f"{answer.status_code // 100}xx"] += 1
        counts["requests"] += 1
        faults = find_faults(case, answer, token)
        assert faults == [], f"{case.as_curl_command()}\n{faults}"

    send()


def fuzz_each(operations: list[Any], door: ServedDoor, end: float) -> dict[str, str]:
    """Send requests to all operations, again and again, until the time `end`. Returns what was found."""
    counts: Counter[str] = Counter()
    problems: dict[str, str] = {}
    combinations = list(product(operations, ("", READER, OPERATOR), GenerationMode))
    random.shuffle(combinations)
    for operation, token, mode in cycle(combinations):
        if time.perf_counter() > end:
            break
        before = door.list_events()
        label = f"{operation.label}, {mode}, {token or 'no token'}"
        try:
            fuzz(operation, token, mode, door, counts)
        except Unsatisfiable:  # nothing about such a request can be invalid
            continue
        except Exception as error:  # noqa: BLE001 - the campaign goes on
            if label not in problems:
                problems[label] = str(error)
                print(f"{label}: {str(error)[:2000]}", flush=True)
        if token != OPERATOR and door.list_events() != before:
            problems[f"{label}: changed something"] = ""
    print(dict(counts))
    return problems


def main() -> None:
    """Run the campaign and print what it found. The exit code is 1 if it found anything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    end = time.perf_counter() + 60 * parser.parse_args().minutes
    with tempfile.TemporaryDirectory() as folder:
        door = ServedDoor(Path(folder))
        problems = fuzz_each(list_operations(door.app), door, end)
        door.close()
    print("\n".join(f"{label}: {text[:300]}" for label, text in problems.items()) or "nothing found")
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
