"""`orchestrator check` against Together's own file check, on the same chats: CPU, wall time, peak memory, ratios.

    python -m venv /tmp/together && /tmp/together/bin/pip install together
    python benchmarks/dataset.py --together /tmp/together/bin/together --megabytes 512 --rounds 3

The chats are made by this script from a seed. Baseline and subjects take turns; each is a process of its own,
measured whole (start included) by the operating system. Nothing needs a network: Together's check reads a local file.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from harness import Cost, measure

ROOT = Path(__file__).parent.parent
SENTENCES = 20_000
SYSTEM = "You are a patient study companion who explains one step at a time."
ACCOUNTS = """\
[run]
name = "bench"
dataset = "chats.jsonl"
[run.openai]
base_model = "sandbox-small"
n_epochs = 1
[[accounts]]
name = "a"
provider = "openai"
api_key = "env:UNUSED"
"""


def lines(seed: int) -> Iterator[str]:
    """Chats without end: two to six turns of one to eight sentences, in the words of the sample chats."""
    chance = random.Random(seed)
    sentences = list(_sentences(chance))
    while True:
        messages = [{"role": "system", "content": SYSTEM}]
        for _ in range(chance.randint(2, 6)):
            for role, most in (("user", 3), ("assistant", 8)):
                said = " ".join(chance.choices(sentences, k=chance.randint(1, most)))
                messages.append({"role": role, "content": said})
        yield json.dumps({"messages": messages}, ensure_ascii=False) + "\n"


def _sentences(chance: random.Random) -> Iterator[str]:
    chats = (json.loads(path.read_text("utf-8")) for path in sorted((ROOT / "chats").glob("*.json")))
    words = sorted({word for chat in chats for message in chat for word in message["content"].split()})
    for number in range(SENTENCES):
        said = " ".join(chance.choices(words, k=chance.randint(4, 20))).rstrip(".,;:!?")
        yield f"{said[0].upper()}{said[1:]}{chance.choice('...?!')}{' 🌱' if number % 50 == 0 else ''}"


def make(path: Path, megabytes: int, seed: int) -> int:
    """Write the given megabytes of chats, and return the number of chats."""
    size = count = 0
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for line in lines(seed):
            if size >= megabytes * 1_000_000:
                return count
            size += len(line.encode())
            count += 1
            file.write(line)
    return count


def compare(folder: Path, together: str, rounds: int) -> dict[str, object]:
    """Alternate the three; medians, and ratios to Together's check."""
    plain, counting = folder / "plain", folder / "counting"
    plain.mkdir()
    counting.mkdir()
    (counting / "accounts.toml").write_text(ACCOUNTS)
    check = [sys.executable, "-m", "orchestrator", "check", str(folder / "chats.jsonl")]
    commands = {
        "together": ([together, "files", "check", str(folder / "chats.jsonl")], folder),
        "check": (check, plain),
        "check with tokens": (check, counting),
    }
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ORCHESTRATOR_")}
    environment |= {"TOGETHER_API_KEY": "unused", "TOGETHER_PROJECT_ID": "unused", "TOGETHER_TELEMETRY_DISABLED": "1"}
    costs: dict[str, list[Cost]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, (command, place) in commands.items():
            costs[name].append(measure(command, place, environment))
    return {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "rounds": rounds,
        **{name: [asdict(cost) for cost in found] for name, found in costs.items()},
        "ratio to together": {
            name: {
                figure: round(_median(found, figure) / _median(costs["together"], figure), 2)
                for figure in ("cpu", "wall", "memory")
            }
            for name, found in costs.items()
        },
    }


def _median(costs: list[Cost], figure: str) -> float:
    return statistics.median(getattr(cost, figure) for cost in costs)


def main() -> None:
    """Print the comparison as JSON."""
    parser = argparse.ArgumentParser(description="Compare the check with Together's.")
    parser.add_argument("--together", default="together", help="Together's command line program")
    parser.add_argument("--megabytes", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        chats = make(Path(folder, "chats.jsonl"), given.megabytes, given.seed)
        figures = {"megabytes": given.megabytes, "chats": chats}
        together = str(Path(given.together).absolute()) if os.sep in given.together else given.together
        print(json.dumps(figures | compare(Path(folder), together, given.rounds), indent=1))


if __name__ == "__main__":
    main()
