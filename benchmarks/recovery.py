"""After `kill -9`: how soon the jobs that waited go on, and the creates that were in flight.

    python benchmarks/recovery.py --rounds 3
    python benchmarks/recovery.py --rounds 3 --replicas 2

One process on SQLite is started again, and the time of the waiting jobs counts from its being ready; of two replicas
on PostgreSQL one is killed, and the time counts from then. The time of a create counts from its intent's deadline.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parents[1] / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "acceptance")]

from postgres import serving  # noqa: E402 - found where the line above points to
from processes import Running, Sandbox, Site, eventually  # noqa: E402

from orchestrator.app import SystemClock  # noqa: E402

clock = SystemClock()
PATIENCE = 90.0
INTENT = 4.0  # seconds
SLOW = 2.0  # seconds that a create takes
WAITING = [f"waiting-{number}" for number in range(8)]
CREATING = [f"creating-{number}" for number in range(4)]


def kill(site: Site, sandbox: Sandbox, replicas: int) -> dict[str, float]:
    """Return the seconds until every waiting job was polled, and until the last create was found."""
    site.accounts(*WAITING)
    serve = [site.start("serve") for _ in range(replicas)]
    eventually(lambda: len(told(serve, "remote started")) == len(WAITING), "jobs that train", PATIENCE)
    sandbox.faults({"kind": "slow", "seconds": SLOW, "accounts": CREATING, "operations": ["jobs.create"]})
    site.accounts(*WAITING, *CREATING)
    eventually(lambda: told(serve[:1], "submit started", CREATING), "creates that are in flight", PATIENCE)
    serve[0].send(signal.SIGKILL)
    since = clock.now()
    sandbox.faults()
    left = serve[1:] or [site.start("serve")]
    if replicas == 1:
        left[0].find('"event": ("service.ready")')
        since = next(at(line) for line in lines(left) if line["event"] == "service.ready")
    looked = looks(sandbox) + len(WAITING)
    eventually(lambda: looks(sandbox) >= looked, "a look at every job that waited")
    waited = clock.now() - since
    cut_off = told(serve[:1], "submit started", CREATING)
    for name in told(serve[:1], "remote job created", CREATING):
        del cut_off[name]
    eventually(lambda: cut_off.keys() <= told(left, "remote job created").keys(), "every create found", PATIENCE)
    found = told(left, "remote job created")
    assert set(sandbox.held().values()) == {(1, 1)}
    return {
        "waiting": round(waited, 2),
        "in flight": round(max(found[name] - (begun + INTENT) for name, begun in cut_off.items()), 2),
        "creates": len(cut_off),
    }


def told(running: Sequence[Running], what: str, names: Sequence[str] = ()) -> dict[str, float]:
    """When something happened to which account."""
    happened = [line for line in lines(running) if line.get("what") == what]
    return {line["account"]: at(line) for line in happened if not names or line["account"] in names}


def lines(running: Sequence[Running]) -> Iterator[dict[str, Any]]:
    """Their logs."""
    for one in running:
        yield from one.log()


def at(line: dict[str, Any]) -> float:
    """When it was written, in epoch seconds."""
    return datetime.fromisoformat(line["timestamp"]).timestamp()


def looks(sandbox: Sandbox) -> int:
    """Count the polls of a job."""
    return sum(sandbox.state()["requests"].get("jobs.retrieve", {}).values())


def measure(replicas: int) -> dict[str, float]:
    """One kill, in a world of its own."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = stack.enter_context(serving()).create() if replicas > 1 else ""
        sandbox = Sandbox(folder, seconds=40)
        stack.callback(sandbox.stop)
        (folder / "site").mkdir()
        site = Site(folder / "site", sandbox.url)
        stack.callback(site.close)
        site.environ |= {
            "ORCHESTRATOR_DATABASE_URL": url,
            "ORCHESTRATOR_INTENT_SECONDS": f"{INTENT}",
            "ORCHESTRATOR_PORT": "0",
            "ORCHESTRATOR_LOG_FORMAT": "json",
        }
        return kill(site, sandbox, replicas)


def main() -> None:
    """Print a line of JSON a round."""
    parser = argparse.ArgumentParser(description="Kill the service and see how soon it goes on.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--replicas", type=int, default=1)
    given = parser.parse_args()
    for _ in range(given.rounds):
        print(json.dumps(measure(given.replicas)), flush=True)


if __name__ == "__main__":
    main()
