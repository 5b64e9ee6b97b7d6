"""Runs the fuzzing tests of one file with new examples, again and again, for some minutes.

    .venv/bin/python tests/hostile/fuzz.py provider_answer_fuzzing --minutes 30

Ends after the first round with a failure, whose example is printed, or after the minutes.
"""

from __future__ import annotations

import argparse
import os
import secrets
import subprocess
import sys
import time
from pathlib import Path

FLOOR = Path(__file__).resolve().parent


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("subject", help="the file is tests/hostile/test_SUBJECT.py")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("-k", default="", help="which tests of it, as in pytest")
    arguments = parser.parse_args()
    test = FLOOR / f"test_{arguments.subject}.py"
    environment = {**os.environ, "HYPOTHESIS_PROFILE": "search", "PYTEST_TIMEOUT": "0"}
    end, rounds = time.perf_counter() + 60 * arguments.minutes, 0
    while time.perf_counter() < end:
        seed = str(secrets.randbelow(2**32))
        pytest = [sys.executable, "-m", "pytest", "-q", "-p", "no:schemathesis", "--hypothesis-seed", seed]
        outcome = subprocess.run([*pytest, "-k", arguments.k, str(test)], env=environment, check=False)
        if outcome.returncode != 0:
            return outcome.returncode
        rounds += 1
        print(f"round {rounds} passed with seed {seed}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
