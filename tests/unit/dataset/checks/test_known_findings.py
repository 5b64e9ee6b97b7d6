"""The findings, their order and the canonical lines of a dataset are those of earlier revisions of the program.

`known_findings.json` has the output of revision 3e3d9578, before the checks became faster; 4c88d67 had the same
places for all codes that it knew. Change a finding there if it changes on purpose, but never the hash of the lines:
another hash is a second paid job.
"""

from __future__ import annotations

import json
from collections import defaultdict
from hashlib import sha256
from pathlib import Path

import pytest
from suspicious_chats import write_chats

from orchestrator.dataset.checker import DatasetChecker
from orchestrator.dataset.rules import DatasetRules

KNOWN = json.loads(Path(__file__).with_name("known_findings.json").read_text("utf-8"))
DEFECTS = (
    '{"messages": [{"role": "wizard", "content": "Hi."}, {"role": "assistant", "content": "Hello."}]}',
    '{"messages": [{"role": "user", "content": "Are you there?"}, {"role": "assistant", "content": "  "}]}',
    '{"messages": [{"role": "user", "content": "Who spoke last?"}]}',
    '{"messages": [{"role": "user", "content": "One.", "content": "Two"}, {"role": "assistant", "content": "Yes."}]}',
    '{"messages": [{"role": "user", "content": "A half: \\ud83d."}, {"role": "assistant", "content": "Odd."}]}',
    '{"messages": [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So", "weight": 3}]}',
    '{"messages": [{"role": "user", "content": "Cut',
    '{"messages": []}',
)


def write_dataset(path: Path) -> Path:
    """Write suspicious chats with exact and near copies among them, and defective lines at the end."""
    chats = write_chats(seed=11, count=120)
    for number in range(10):
        copy = json.loads(json.dumps(chats[number]))
        if number % 2:
            copy["messages"][-1]["content"] += " Goodbye"
        chats.append(copy)
    for chat in chats[20:]:
        chat["messages"][1]["content"] += " My name is Marguerite."
    lines = [json.dumps(chat, ensure_ascii=False) for chat in chats]
    path.write_text("\n".join([*lines, *DEFECTS]), "utf-8")
    return path


def check(dataset: Path, workers: int = 1) -> dict[str, object]:
    """Return the places of the findings by code, the order of all of them as a hash, and the hash of the lines."""
    checker = DatasetChecker(dataset, DatasetRules())
    lines = sha256(b"".join(line for line in checker.iter_lines(workers=workers)))
    places, order = defaultdict(list), []
    for finding in checker.build_result().findings:
        places[finding.code].append(finding.line)
        order.append([finding.code, finding.line, finding.path])
    digest = sha256(json.dumps(order).encode()).hexdigest()
    return {"lines": lines.hexdigest(), "order": digest, "findings": dict(sorted(places.items()))}


@pytest.mark.parametrize("workers", [1, 2])
def test_findings_and_lines_are_those_of_earlier_revisions(tmp_path: Path, workers: int) -> None:
    assert check(write_dataset(tmp_path / "chats.jsonl"), workers) == KNOWN
