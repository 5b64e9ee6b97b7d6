"""Checks a file of an operator's own probes: one chat with its reference answer on each line, in JSON.

Every line is a probe that the operator chose, so a line that cannot be one is an error with its place and never left
out silently: with fewer probes than expected a comparison would look more certain than it is.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from typing import Any, Final

from orchestrator.core.comparison.probe import Probe, parse_probe
from orchestrator.core.errors import ConfigError

MAX_PROBE_FILE_LINES: Final = 10_000
_SHOWN_PROBLEMS: Final = 20
_ROLES: Final = ("system", "developer", "user", "assistant")
_MESSAGE_KEYS: Final = frozenset({"role", "content", "name", "weight"})


class _LineError(Exception):
    """Why a line is no probe."""


def parse_probe_file(
    name: str, lines: Iterable[bytes], *, training_prompt_ids: Collection[str] = ()
) -> tuple[Probe, ...]:
    """Return the probes of a file in their order. Empty lines are skipped.

    Raises ConfigError with `name` and the line of each problem.
    """
    probes: dict[str, Probe] = {}
    numbers: dict[str, int] = {}  # line by prompt
    problems = []
    for number, line in enumerate(lines, 1):
        if number > MAX_PROBE_FILE_LINES:
            problems.append(f"{name}:{number}: the file has more than {MAX_PROBE_FILE_LINES} lines")
            break
        if not line.strip():
            continue
        try:
            probe = _parse_line(line)
            _check_prompt(probe, numbers, training_prompt_ids)
        except _LineError as error:
            problems.append(f"{name}:{number}: {error}")
        else:
            probes[probe.prompt_id] = probe
            numbers[probe.prompt_id] = number
    if not problems and not probes:
        problems.append(f"{name}: the file has no probes")
    if problems:
        raise _create_error(name, problems)
    return tuple(probes.values())


def _create_error(name: str, problems: list[str]) -> ConfigError:
    shown = problems[:_SHOWN_PROBLEMS]
    if len(problems) > len(shown):
        shown.append(f"… and {len(problems) - len(shown)} more")
    return ConfigError(
        f"the probes in {name} cannot be used",
        hint='Each line is a chat in JSON that ends with its reference answer: {"messages": [{"role": "user", '
        '"content": "…"}, {"role": "assistant", "content": "…"}]}',
        problems=shown,
    )


def _parse_line(line: bytes) -> Probe:
    """Return the probe of a line. Raises _LineError with the reason why it is none."""
    try:
        body = json.loads(line.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise _LineError("is not UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise _LineError(f"is not JSON: {error}") from error
    messages = body.get("messages") if isinstance(body, dict) else None
    if not isinstance(messages, list):
        raise _LineError('has no list "messages"')
    if "tools" in body or "functions" in body:
        raise _LineError("has tools, whose calls cannot be compared; remove the line")
    for position, message in enumerate(messages, 1):
        _check_message(position, message)
    if len(messages) < 2 or messages[-1]["role"] != "assistant":
        raise _LineError("must have a prompt and end with a message of the assistant, the reference answer")
    if not messages[-1]["content"].strip():
        raise _LineError("has an empty reference answer")
    probe = parse_probe(json.dumps({"messages": messages}).encode())
    if probe is None:
        raise _LineError("is not a chat with a reference answer")
    return probe


def _check_message(position: int, message: Any) -> None:
    if not isinstance(message, dict):
        raise _LineError(f"message {position} is not an object")
    unknown = sorted(set(message) - _MESSAGE_KEYS)
    if unknown:
        raise _LineError(f'message {position} has "{unknown[0]}"; only role, content and name are sent')
    if message.get("role") not in _ROLES:
        raise _LineError(f"message {position} needs a role: {', '.join(_ROLES[:-1])} or {_ROLES[-1]}")
    if not isinstance(message.get("content"), str):
        raise _LineError(f"message {position} needs a content that is a text")


def _check_prompt(probe: Probe, numbers: dict[str, int], training_prompt_ids: Collection[str]) -> None:
    if probe.prompt_id in training_prompt_ids:
        raise _LineError("the prompt is in the training file, so every model knows its answer; remove the line")
    if probe.prompt_id in numbers:
        raise _LineError(f"has the prompt of line {numbers[probe.prompt_id]} again; remove one of them")
