"""The pages of a dataset of 100,000 examples over HTTP: first and repeated requests, search, filter, difference.

    PYTHONPATH=. python benchmarks/example_pages.py --examples 100000 --rounds 5

Each round starts `orchestrator serve`, whose index was built before (measured, too), and requests each page once,
then again. The references of the same run are a FastAPI route that returns the bytes of the page and nothing else,
and the same pages of a dataset of 100 examples.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

from crowd import prepare
from dataset import lines
from harness import HERE, measure, provider, report, summary
from served import serving

MODEL = "sandbox-small"
REPEATS = 20


def write(folder: Path, examples: int, seed: int, *, without: int = 0) -> tuple[str, int, int]:
    """Write a dataset; every hundredth example has an e-mail address. Without the first ones it is the older one."""
    made = (
        line.replace('"role": "user", "content": "', '"role": "user", "content": "Mail jane@acme-corp.com. ', 1)
        if number % 100 == 0
        else line
        for number, line in enumerate(islice(lines(seed), examples))
    )
    content = "".join(list(made)[without:]).encode()
    digest = sha256(content).hexdigest()
    (folder / f"{digest[:16]}.jsonl").write_bytes(content)
    return digest, len(content), examples - without


def build(folder: Path, digest: str) -> float:
    """Build the index as the service does; the seconds of CPU."""
    path = str(folder / f"{digest[:16]}.jsonl")
    return measure([sys.executable, "-m", "orchestrator.dataset.browse.index_builder", path, MODEL], folder).cpu


def store(folder: Path, datasets: Sequence[tuple[str, int, int]]) -> None:
    """Store the datasets, each with a finished run, in a child process."""
    child = os.fork()
    if child == 0:
        asyncio.run(_store(folder, datasets))
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        raise SystemExit("the datasets could not be stored")


async def _store(folder: Path, datasets: Sequence[tuple[str, int, int]]) -> None:
    from orchestrator.core.dataset import Dataset, DatasetPart
    from orchestrator.core.jobs.job import RunId
    from orchestrator.status import list_runs
    from orchestrator.store.db.database import Database
    from orchestrator.store.db.transaction import Transaction
    from orchestrator.store.queries import runs

    database = Database(f"sqlite:///{folder / 'data' / 'orchestrator.db'}")
    known = (await list_runs(database, 0.0))[0].run.id

    async def add(tx: Transaction) -> None:
        run = await runs.get(tx.connection, RunId(known))
        for number, (digest, size, examples) in enumerate(datasets):
            path = Path(f"{digest[:16]}.jsonl")
            part = DatasetPart(path=path, sha256=digest, bytes=size, examples=examples, tokens=None)
            at = 1_700_000_000.0 + number
            await runs.save_dataset(tx, Dataset(training=part), at)
            await runs.save(
                tx, replace(run, id=RunId(f"data-{number}"), dataset_sha256=digest, created_at=at, current=False)
            )

    await database.write(add)
    await database.close()


def get(url: str) -> tuple[float, bytes]:
    """Seconds for the answer, and its body."""
    begin = time.perf_counter()
    with urllib.request.urlopen(url) as answer:
        body = answer.read()
    return time.perf_counter() - begin, body


def visit(url: str, digest: str, older: str, took: dict[str, list[float]], prefix: str) -> bytes:
    """Request each page of a dataset; the first one is the first after the start of the service."""
    page = f"{url}datasets/{digest}"
    paths = {
        "first": page,
        "search rare": f"{page}?q=jane",
        "search frequent": f"{page}?q=the",
        "search nothing": f"{page}?q=qqqqqq",
        "filter": f"{page}?finding=email-address",
        "last page": f"{page}?page=999999",
        "difference first": f"{page}/difference?with={older}",
        "API search": f"{url}api/v1/datasets/{digest}/examples?text=learn",
    }
    for name, path in paths.items():
        took[prefix + name].append(get(path)[0])
    for name, path in (("repeated", page), ("search repeated", paths["search frequent"])):
        took[prefix + name] += [get(path)[0] for _ in range(REPEATS)]
    took[prefix + "difference repeated"] += [get(paths["difference first"])[0] for _ in range(REPEATS)]
    return get(page)[1]


def bare(body: bytes, folder: Path) -> list[float]:
    """The same bytes from a route that does nothing else."""
    (folder / "body").write_bytes(body)
    command = [sys.executable, str(HERE / "route.py"), str(folder / "body")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        url = process.stdout.readline().strip()
        get(url)
        return [get(url)[0] for _ in range(REPEATS)]
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def run(folder: Path, url: str, examples: int, rounds: int) -> dict[str, Any]:
    """All rounds; medians in milliseconds."""
    prepare(folder, url, 1, state="succeeded")
    datasets = folder / "data" / "datasets"
    small = [write(datasets, 100, 2, without=10), write(datasets, 100, 2)]
    large = [write(datasets, examples, 1, without=examples // 100), write(datasets, examples, 1)]
    store(folder, [*small, *large])
    seconds = [build(datasets, digest) for digest, _, _ in (*small, *large)]
    took: dict[str, list[float]] = defaultdict(list)
    memory = []
    for _ in range(rounds):
        with serving(folder) as served:
            body = visit(served.url, large[1][0], large[0][0], took, "")
            memory.append(served.memory)
        with serving(folder) as served:
            visit(served.url, small[1][0], small[0][0], took, "100 examples: ")
        took["bare route"] += bare(body, folder)
    figures = {name: summary([1000 * each for each in values]) for name, values in took.items()}
    reference = figures["bare route"]["median"]
    return {
        "megabytes": round(large[1][1] / 1e6),
        "index cpu s": round(seconds[-1], 1),
        "peak memory MB": round(max(memory)),
        "ms": figures,
        "ratio to bare route": {
            name: round(each["median"] / reference, 1) for name, each in figures.items() if ":" not in name
        },
        "ratio to 100 examples": {
            name: round(each["median"] / figures[f"100 examples: {name}"]["median"], 1)
            for name, each in figures.items()
            if f"100 examples: {name}" in figures
        },
    }


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description="Measure the pages of a large dataset.")
    parser.add_argument("--examples", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    with provider(0.05) as url, tempfile.TemporaryDirectory() as folder:
        report("example_pages", {"examples": given.examples} | run(Path(folder), url, given.examples, given.rounds))


if __name__ == "__main__":
    main()
