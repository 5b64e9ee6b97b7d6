"""`/status` of 100,000 jobs and 50 dashboard viewers: latency of each way to ask, CPU, memory, queries a second.

    PYTHONPATH=. python benchmarks/status_at_scale.py --jobs 100000 --viewers 50 --rounds 20

The subject is `scale_app.py`, a process of its own; jobs change all the time. The yardsticks, in the same run: the
same bytes from a route that does nothing else (`route.py`), and the CPU of `json.dumps` for the same rows. A viewer
holds an event stream open and asks for the page again after events, at most once a second, as `dashboard.js` does.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from harness import HERE, ROOT, clean, quantiles, report
from served import cpu_of

WAYS = {
    "whole": "status",
    "one run": "status?run=bench",
    "page of 100": "api/v1/jobs?limit=100",
    "next page": "api/v1/jobs?limit=100&after=a0050000:",
    "filtered by state": "api/v1/jobs?limit=100&state=failed",
    "filtered by text": "api/v1/jobs?limit=100&text=a0012",
    "counts": "api/v1/runs/current",
    "dashboard": "",
}
STARVED_SECONDS = 600
PAUSE_SECONDS = 0.1
"""Pause between two requests beside the viewers."""


def ask(url: str, **headers: str) -> tuple[float, int, str]:
    """Read the answer as it comes; return seconds, size and entity tag."""
    begin, size = time.perf_counter(), 0
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=STARVED_SECONDS) as answer:
            while chunk := answer.read(1 << 18):
                size += len(chunk)
            return time.perf_counter() - begin, size, answer.headers.get("ETag", "")
    except urllib.error.HTTPError as error:
        if error.code != 304:
            raise
        return time.perf_counter() - begin, 0, headers["If-None-Match"]


def get_costs(url: str, query: str = "") -> dict[str, float]:
    """Return the costs of the subject so far."""
    costs: dict[str, float] = json.load(urllib.request.urlopen(f"{url}bench{query}", timeout=STARVED_SECONDS))
    return costs


@contextmanager
def process(*command: str) -> Iterator[tuple[str, int]]:
    """Start a process that prints its base URL; return the URL and the process id."""
    started = subprocess.Popen(
        [sys.executable, *command], stdout=subprocess.PIPE, text=True, env=clean(PYTHONPATH=f"{ROOT}")
    )
    assert started.stdout is not None
    try:
        yield started.stdout.readline().strip(), started.pid
    finally:
        started.terminate()
        started.wait()
        started.stdout.close()


class Viewer:
    """A dashboard: an event stream, and the page again after events."""

    def __init__(self, url: str, *, with_page: bool) -> None:
        self._url = urlsplit(url)
        self._with_page = with_page
        self.events = 0
        self.pages: list[float] = []
        self._changed = asyncio.Event()

    async def watch(self) -> None:
        """Hold the stream open until cancelled."""
        pages = asyncio.create_task(self._refresh()) if self._with_page else None
        reader, writer = await self._send("/api/v1/events", "Accept: text/event-stream\r\n")
        try:
            while line := await reader.readline():
                if line.startswith(b"data:"):
                    self.events += 1
                    self._changed.set()
        finally:
            writer.close()
            if pages:
                pages.cancel()

    async def _refresh(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            begin = time.perf_counter()
            reader, writer = await self._send("/", "Connection: close\r\n")
            assert b" 200 " in await reader.readline()
            while await reader.read(1 << 16):
                pass
            writer.close()
            self.pages.append(time.perf_counter() - begin)
            await asyncio.sleep(max(1 - self.pages[-1], 0))

    async def _send(self, path: str, headers: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(self._url.hostname, self._url.port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {self._url.netloc}\r\n{headers}\r\n".encode())
        return reader, writer


async def watch(url: str, pid: int, viewers: int, seconds: float, *, with_page: bool) -> dict[str, Any]:
    """Cost of so many viewers a second while jobs change, without requests for `/status`."""
    watching = [Viewer(url, with_page=with_page) for _ in range(viewers)]
    tasks = [asyncio.create_task(each.watch()) for each in watching]
    await asyncio.sleep(2)
    before, cpu, begin = await asyncio.to_thread(get_costs, url), cpu_of(pid), time.perf_counter()
    await asyncio.sleep(seconds)
    took, cpu = time.perf_counter() - begin, cpu_of(pid) - cpu
    after = await asyncio.to_thread(get_costs, url)
    for task in tasks:
        task.cancel()
    for task in tasks:
        with suppress(asyncio.CancelledError):
            await task
    figures = {
        "queries a second": round((after["queries"] - before["queries"]) / took, 1),
        "cpu share": round(cpu / took, 3),
        "peak MB": round(after["peak_mb"]),
    }
    if viewers:
        figures["events a viewer"] = sum(each.events for each in watching) // viewers
    pages = [seconds for each in watching for seconds in each.pages]
    return figures | ({"pages": len(pages), "page ms": quantiles(pages)} if pages else {})


def ask_all(url: str, pid: int, bare: str, rounds: int) -> dict[str, Any]:
    """Ask in each way in turn; the bare route takes its turn with the whole document."""
    took: dict[str, list[float]] = {name: [] for name in [*WAYS, "bare route", "304"]}
    cpu: dict[str, float] = dict.fromkeys(took, 0.0)
    for _ in range(rounds):
        for name, path in WAYS.items():
            begin = cpu_of(pid)
            took[name].append(ask(url + path)[0])
            cpu[name] += cpu_of(pid) - begin
        took["bare route"].append(ask(bare)[0])
        tag = ask(url + "status")[2]
        begin = cpu_of(pid)
        seconds, size, _ = ask(url + "status", **{"If-None-Match": tag})
        took["304"] += [] if size else [seconds]
        cpu["304"] += 0 if size else cpu_of(pid) - begin
    return {
        name: quantiles(values) | {"cpu ms": round(1000 * cpu[name] / len(values), 1)}
        for name, values in took.items()
        if values
    }


def serialise(body: bytes) -> float:
    """Seconds of CPU that `json.dumps` takes for the jobs of the document."""
    jobs = json.loads(body)["jobs"]
    begin = time.process_time()
    json.dumps(jobs)
    return time.process_time() - begin


def compare(folder: Path, jobs: int, viewers: int, rounds: int, seconds: float, changes: float) -> dict[str, Any]:
    """Measure everything on one database."""
    with process(f"{HERE / 'scale_app.py'}", f"{folder}", "--jobs", f"{jobs}") as (url, pid):
        first, size, _ = ask(url + "status")
        figures: dict[str, Any] = {
            "jobs": jobs,
            "changes a second": changes,
            "megabytes": round(size / 1e6, 1),
            "first answer": {"s": round(first, 2), "cpu s": round(get_costs(url)["cpu"], 2)},
            "peak MB after the first answer": round(get_costs(url)["peak_mb"]),
        }
        body = urllib.request.urlopen(url + "status", timeout=STARVED_SECONDS).read()
        (folder / "body").write_bytes(body)
        figures["json.dumps of the jobs, cpu s"] = round(serialise(body), 2)
        with process(f"{HERE / 'route.py'}", f"{folder / 'body'}") as (bare, _):
            figures["unchanged"] = ask_all(url, pid, bare, rounds)
            get_costs(url, f"?changes={changes}")
            figures["jobs change"] = ask_all(url, pid, bare, rounds)
        figures["peak MB of requests one by one"] = round(get_costs(url)["peak_mb"])
        for with_page in (False, True):
            for count in sorted({0, 1, viewers}):
                name = f"{count} viewers{' with pages' if with_page else ', streams only'}"
                figures[name] = asyncio.run(watch(url, pid, count, seconds, with_page=with_page))
        figures["beside the viewers"] = asyncio.run(ask_beside(url, viewers, seconds))
        figures["peak MB"] = round(get_costs(url)["peak_mb"])
    return figures


async def ask_beside(url: str, viewers: int, seconds: float) -> dict[str, float]:
    """Ask for the whole document repeatedly beside the viewers. The first request, which builds it, is left out."""
    tasks = [asyncio.create_task(Viewer(url, with_page=True).watch()) for _ in range(viewers)]
    await asyncio.to_thread(ask, url + "status")
    took, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end:
        took.append((await asyncio.to_thread(ask, url + "status"))[0])
        await asyncio.sleep(PAUSE_SECONDS)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    return quantiles(took) | {"requests": len(took), "slowest": round(1000 * max(took), 1)}


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description="Measure the status and the dashboard of very many jobs.")
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--viewers", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--changes", type=float, default=20, help="jobs that change a second")
    parser.add_argument("--name", default="status-at-scale")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = compare(Path(folder), given.jobs, given.viewers, given.rounds, given.seconds, given.changes)
    report(given.name, figures)


if __name__ == "__main__":
    main()
