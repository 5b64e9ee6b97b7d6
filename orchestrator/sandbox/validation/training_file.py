"""Validates training files as strictly as a provider, independently of the program's own dataset check.

A file that is not JSON Lines gets the status `error`. A readable file with unsuitable examples fails the job that
uses it. Only the first problem is reported, with its line, as providers do.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from orchestrator.sandbox.records import SandboxVerdict
from orchestrator.sandbox.validation.training_rows import (
    find_conversation_problem,
    find_preference_problem,
    find_prompt_problem,
)

MAX_LINE_BYTES = 16 * 1024 * 1024
CHECK_BY_METHOD = {
    "supervised": find_conversation_problem,
    "dpo": find_preference_problem,
    "reinforcement": find_prompt_problem,
}


class UnreadableFileError(ValueError):
    """The file is not a JSON Lines file; the message has the line."""


def validate_training_file(path: Path, digest: str) -> SandboxVerdict:
    """Validate the whole file, one line at a time."""
    problems: dict[str, str | None] = dict.fromkeys(CHECK_BY_METHOD)
    examples = tokens = 0
    try:
        for number, row, size in _read_rows(path):
            examples += 1
            tokens += size // 4  # the providers' rule of thumb: four characters per token
            for method, check in CHECK_BY_METHOD.items():
                if problems[method] is None and (problem := check(row)):
                    problems[method] = f"Line {number}: {problem}"
    except UnreadableFileError as error:
        return SandboxVerdict(digest, unreadable=str(error))
    return SandboxVerdict(digest, examples, tokens, problems=problems)


def _read_rows(path: Path) -> Iterator[tuple[int, Any, int]]:
    """Yield the line number, the value and the length in bytes of each line."""
    decoder = json.JSONDecoder(parse_constant=reject_constant)
    with path.open("rb") as file:
        number = 0
        while line := file.readline(MAX_LINE_BYTES + 1):
            number += 1
            if len(line) > MAX_LINE_BYTES:
                raise UnreadableFileError(f"Line {number} is longer than {MAX_LINE_BYTES} bytes")
            yield number, _parse_line(line, number, decoder), len(line)


def _parse_line(line: bytes, number: int, decoder: json.JSONDecoder) -> Any:
    try:
        text = line.decode("utf-8").strip(" \t\r\n")
        return decoder.decode(text)
    except UnicodeDecodeError as error:
        raise UnreadableFileError(f"Line {number} is not valid UTF-8 (byte {error.start + 1})") from error
    except (ValueError, RecursionError) as error:
        raise UnreadableFileError(f"Line {number} is not valid JSON: {error}") from error


def reject_constant(name: str) -> Any:
    """Reject `NaN` and `Infinity`, which Python's decoder accepts but JSON does not have. Raises ValueError."""
    raise ValueError(f"{name} is not JSON")
