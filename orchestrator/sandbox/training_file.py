"""Reading a training file as strictly as a provider does, and apart from the program's own check of its chats.

What cannot be read at all spoils the file. What can be read but not trained on is found when a job is made of it.
Only the first fault is told, with its line, as providers do.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from orchestrator.sandbox.conversation import conversation_problem, preference_problem, prompt_problem
from orchestrator.sandbox.records import Verdict

LINE_LIMIT = 16 * 1024 * 1024
CHECKS = {"supervised": conversation_problem, "dpo": preference_problem, "reinforcement": prompt_problem}


class Unreadable(ValueError):
    """The file is no JSON Lines file; the message says where."""


def check_training_file(path: Path, digest: str) -> Verdict:
    """Read the whole file, a line at a time."""
    problems: dict[str, str | None] = dict.fromkeys(CHECKS)
    examples = tokens = 0
    try:
        for number, row, size in _rows(path):
            examples += 1
            tokens += size // 4
            for method, check in CHECKS.items():
                if problems[method] is None and (problem := check(row)):
                    problems[method] = f"Line {number}: {problem}"
    except Unreadable as unreadable:
        return Verdict(digest, unreadable=str(unreadable))
    return Verdict(digest, examples, tokens, problems=problems)


def _rows(path: Path) -> Iterator[tuple[int, Any, int]]:
    """(line number, value, length in bytes) of each line."""
    decoder = json.JSONDecoder(parse_constant=refuse_constant)
    with path.open("rb") as file:
        number = 0
        while line := file.readline(LINE_LIMIT + 1):
            number += 1
            if len(line) > LINE_LIMIT:
                raise Unreadable(f"Line {number} is longer than {LINE_LIMIT} bytes")
            yield number, _parse(line, number, decoder), len(line)


def _parse(line: bytes, number: int, decoder: json.JSONDecoder) -> Any:
    try:
        text = line.decode("utf-8").strip(" \t\r\n")
        return decoder.decode(text)
    except UnicodeDecodeError as error:
        raise Unreadable(f"Line {number} is not valid UTF-8 (byte {error.start + 1})") from error
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"Line {number} is not valid JSON: {error}") from error


def refuse_constant(name: str) -> Any:
    """Refuse `NaN` and `Infinity`, which Python's decoder would take for numbers. Raises ValueError."""
    raise ValueError(f"{name} is not JSON")
