"""A file of own probes: every line is a probe, or a problem with its place."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.core.comparison.probe import list_prompt_ids
from orchestrator.core.comparison.probe_file import MAX_PROBE_FILE_LINES, parse_probe_file
from orchestrator.core.errors import ConfigError

QUESTION = {"role": "user", "content": "How many?"}
ANSWER = {"role": "assistant", "content": "Three."}


def encode(*messages: Any, **more: Any) -> bytes:
    return json.dumps({"messages": list(messages), **more}).encode() + b"\n"


GOOD = encode(QUESTION, ANSWER)


def list_problems(*lines: bytes, training: set[str] | None = None) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as error:
        parse_probe_file("own.jsonl", lines, training_prompt_ids=training or set())
    assert "own.jsonl" in error.value.message
    assert error.value.hint
    return error.value.problems


def test_each_line_is_a_probe_in_its_order() -> None:
    system = {"role": "system", "content": "Be brief."}
    probes = parse_probe_file("own.jsonl", [b"\xef\xbb\xbf" + GOOD, b"\n", encode(system, QUESTION, ANSWER)])
    assert [probe.reference for probe in probes] == ["Three.", "Three."]
    assert [json.loads(probe.messages) for probe in probes] == [[QUESTION], [system, QUESTION]]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"\xff\xfe", "is not UTF-8"),
        (b"{", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[]", 'has no list "messages"'),
        (b'{"messages": {}}', 'has no list "messages"'),
        (encode(), "must have a prompt"),
        (encode(ANSWER), "must have a prompt"),
        (encode(QUESTION, QUESTION), "end with a message of the assistant"),
        (encode(QUESTION, {"role": "assistant", "content": " "}), "empty reference answer"),
        (encode(QUESTION, {"role": "assistant", "content": None}), "message 2 needs a content that is a text"),
        (encode("Hello", ANSWER), "message 1 is not an object"),
        (encode({"role": "tool", "content": "x"}, ANSWER), "message 1 needs a role: system, developer, user or"),
        (encode({"content": "x"}, ANSWER), "message 1 needs a role"),
        (encode({**QUESTION, "tool_calls": []}, ANSWER), 'message 1 has "tool_calls"'),
        (encode(QUESTION, ANSWER, tools=[]), "has tools"),
        (GOOD, "has the prompt of line 1 again"),
    ],
)
def test_line_that_is_no_probe_is_named_with_the_reason(line: bytes, problem: str) -> None:
    (found,) = list_problems(GOOD, line)
    assert found.startswith("own.jsonl:2: ")
    assert problem in found


def test_prompt_of_the_training_set_is_no_probe() -> None:
    (found,) = list_problems(GOOD, training=list_prompt_ids([GOOD]))
    assert found.startswith("own.jsonl:1: the prompt is in the training file")


def test_file_without_probes_and_file_that_is_too_long() -> None:
    assert list_problems(b"\n") == ("own.jsonl: the file has no probes",)
    *_, last = list_problems(*[b"\n"] * (MAX_PROBE_FILE_LINES + 1))
    assert last == f"own.jsonl:{MAX_PROBE_FILE_LINES + 1}: the file has more than {MAX_PROBE_FILE_LINES} lines"


def test_many_problems_are_cut() -> None:
    problems = list_problems(*[b"{"] * 50)
    assert len(problems) == 21
    assert problems[-1] == "… and 30 more"


@settings(derandomize=True)
@given(
    st.recursive(
        st.none() | st.text() | st.integers(),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.sampled_from(["messages", "role", "content", "tools"]), inner)
        ),
    )
)
def test_any_json_is_a_probe_or_a_problem(document: Any) -> None:
    problem: ConfigError | None = None
    try:
        assert len(parse_probe_file("own.jsonl", [json.dumps(document).encode()])) == 1
    except ConfigError as error:
        problem = error
    assert problem is None or problem.problems[0].startswith("own.jsonl:1: ")
