"""The speed of this machine, measured once for a test session, and the time limits that follow from it.

A limit says when a test that makes no progress is given up; it never decides whether a test that works passes. So a
limit is written for the machine of reference and is multiplied by the time factor here: a machine that is ten times
as slow, or ten times as busy, gets ten times as long. The factor is never below 1.

The measured work is the start of an interpreter that imports much of the standard library, because starting processes
is what the slow tests spend their time with. Workers of pytest-xdist share the cores, so their number counts too.
`TEST_TIME_FACTOR` in the environment sets the factor by hand.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

FACTOR_VARIABLE = "TEST_TIME_FACTOR"
IMPORTS = "import asyncio, email.message, http.client, json, logging, sqlite3, ssl, unittest"
WORK = (sys.executable, "-I", "-c", IMPORTS)
REFERENCE_SECONDS = 0.06  # WORK took 0.05 s once on the two cores where this was written, at a load of 2.4
MEASUREMENTS = 5
MAX_FACTOR = 30.0


def measure_time_factor(workers: int = 1) -> float:
    """How many times as long as on the machine of reference the tests may take here."""
    begun = time.perf_counter()
    for _ in range(MEASUREMENTS):
        subprocess.run(WORK, check=True)
    slowness = (time.perf_counter() - begun) / MEASUREMENTS / REFERENCE_SECONDS
    crowd = workers / (os.cpu_count() or 1)
    return min(MAX_FACTOR, max(1.0, slowness) * max(1.0, crowd))


def set_time_factor(workers: int = 1) -> None:
    """Measure, unless a person or the session that started this process has set the factor."""
    if FACTOR_VARIABLE not in os.environ:
        os.environ[FACTOR_VARIABLE] = f"{measure_time_factor(workers):.2f}"


def get_time_factor() -> float:
    """The factor of this session; 1 before it was measured."""
    return float(os.environ.get(FACTOR_VARIABLE, "1"))


def scale_seconds(seconds: float) -> float:
    """A time limit of the machine of reference as one of this machine."""
    return seconds * get_time_factor()
