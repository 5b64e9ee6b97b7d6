"""Shorter waits for tests that would only sit them out.

Some constants of the program are long because real providers are slow: a deployment must be absent for a minute
before it counts as removed. How the program acts on such a wait is tested on the lower floors, which set the clock.
A test that starts the program can shorten the wait for its processes: Python, and the fork server, run the
`sitecustomize.py` that PYTHONPATH names.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path

ABSENCE_CONFIRMATION = "orchestrator.core.deployment.transitions.ABSENCE_CONFIRMATION_SECONDS"
COMPARISON_CLAIM = "orchestrator.daemon.comparisons.comparison_runner.CLAIM_SECONDS"
MAX_BACKOFF = "orchestrator.core.jobs.retry_policy.MAX_BACKOFF_SECONDS"

# A module that has imported the constant by name holds the same object: a forked command has loaded all of them.
PROGRAM = """import importlib, sys

for path, seconds in {waits!r}.items():
    place, _, name = path.rpartition(".")
    old = getattr(importlib.import_module(place), name)
    for module in [each for key, each in sys.modules.items() if key.startswith("orchestrator.")]:
        if getattr(module, name, None) is old:
            setattr(module, name, min(old, seconds))
"""


def shorten_waits(folder: Path, waits: Mapping[str, float]) -> dict[str, str]:
    """Return the environment in which these constants are at most so many seconds; `folder` holds its file."""
    for path in waits:
        place, _, name = path.rpartition(".")
        assert hasattr(importlib.import_module(place), name), f"{path} was renamed"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(PROGRAM.format(waits=dict(waits)))
    return {"PYTHONPATH": str(folder)}
