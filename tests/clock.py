"""Another day: `python tests/clock.py 2029-01-01 COMMAND …` runs a command, and all it starts, as if it were then.

It proves that nothing depends on today's date. libfaketime moves the wall clock by a constant, so that the processes
of one test agree on the time; the monotonic clocks that asyncio and the intents go by stay as they are. Where the
library cannot work, the command is not run: that is printed with its reason, and is a failure in CI.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

FOLDER = Path(__file__).parents[1] / ".venv-clock"
PRELOAD = "LD_PRELOAD"
ASK = "import time; time.sleep(0.01); print(time.time())"


def another_day(moment: datetime) -> dict[str, str]:
    """The environment in which it is that moment. Raises RuntimeError where there can be none."""
    library = next(FOLDER.rglob("libfaketime.so.1"), None)
    if library is None:
        raise RuntimeError(f"libfaketime is not in {FOLDER}: `make calendar` puts it there")
    environ = os.environ | {
        PRELOAD: str(library),
        "FAKETIME": f"{moment.timestamp() - time.time():+.0f}",  # noqa: TID251
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_CACHE_DURATION": "1000000",  # the offset never changes, and reading it again is not thread-safe
    }
    asked = subprocess.run([sys.executable, "-c", ASK], env=environ, capture_output=True, text=True, check=False)
    if asked.returncode or abs(float(asked.stdout) - moment.timestamp()) > 60:
        raise RuntimeError(f"{library} does not move the clock here: {asked.stderr.strip() or asked.stdout.strip()}")
    return environ


def todays_environ() -> dict[str, str]:
    """The environment without the moved clock: for a browser, which hangs under it and judges no dates."""
    return {name: value for name, value in os.environ.items() if name != PRELOAD}


def main(day: str, command: Sequence[str]) -> None:
    """Become the command, on that day: YYYY-MM-DD, or `+DAYS` from today."""
    days = timedelta(days=int(day)) if day.startswith("+") else None
    now = datetime.now(UTC)  # noqa: TID251
    moment = now + days if days else datetime.fromisoformat(f"{day}T12:00:00+00:00")
    try:
        environ = another_day(moment)
    except RuntimeError as error:
        sys.stderr.write(f"not run on another day: {error}\n")
        sys.exit(os.environ.get("CI") == "true")
    sys.stderr.write(f"as if it were {moment:%Y-%m-%d}: {' '.join(command)}\n")
    sys.stderr.flush()
    os.execvpe(command[0], list(command), environ)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
