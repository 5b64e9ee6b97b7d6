"""Any bytes in, findings out; and what passes is accepted by the sandbox, whose reading was written apart from it."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from orchestrator.core.errors import DatasetError
from orchestrator.core.spec import Method
from orchestrator.dataset.builder import build_dataset
from orchestrator.dataset.checker import check_dataset
from orchestrator.dataset.output.formatters import to_json, to_sarif, to_text
from orchestrator.dataset.output.html_report import to_html
from orchestrator.dataset.rules import DatasetRules
from orchestrator.dataset.summary import BuildResult
from orchestrator.sandbox.validation.training_file import validate_training_file

SAMPLES = Path(__file__).parents[2] / "chats"
GOOD = {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]}

KEYS = [
    "messages", "role", "content", "name", "weight", "tools", "tool_calls", "tool_call_id", "id", "type", "function",
    "arguments", "text", "image_url", "url", "refusal", "conversations", "from", "value", "instruction", "input",
    "output", "prompt", "completion", "chosen", "rejected", "preferred_output", "non_preferred_output", "history",
    "system", "mes", "is_user", "is_system", "extra", "swipes", "user_name", "character_name", "chat_metadata",
    "model", "parallel_tool_calls", "parameters", "x", "",
]  # fmt: skip
WORDS = [
    "system", "user", "assistant", "tool", "human", "gpt", "text", "image_url", "function", "add", "call_1", "{}", "",
    " ", "Hello.", "https://a.example/x.png", "<|endoftext|>", "é👋", "\ud800", "\x00", "\u2028", "{{user}}",
    "\x1b[31m",
]  # fmt: skip
LEAVES = st.one_of(
    st.sampled_from(WORDS),
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=3),
    st.just(10**400),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=20,
)
CALL = st.fixed_dictionaries({
    "id": st.sampled_from(["a", "b", ""]),
    "type": st.just("function"),
    "function": st.fixed_dictionaries({
        "name": st.sampled_from(["add", "sub"]), "arguments": st.sampled_from(["{}", "[", ""]),
    }),
})  # fmt: skip
CONTENT = st.one_of(
    st.sampled_from(WORDS),
    st.text(max_size=8),
    st.none(),
    st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": st.sampled_from(WORDS)}), max_size=2),
)
MESSAGE = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant", "assistant", "tool"]), "content": CONTENT},
    optional={
        "name": st.sampled_from(["mina", "a b", ""]),
        "weight": st.sampled_from([0, 1, 1.0, True, 2]),
        "tool_calls": st.lists(CALL, max_size=2),
        "tool_call_id": st.sampled_from(["a", "b", ""]),
        "refusal": st.sampled_from([None, "No."]),
    },
)
TOOLS = st.lists(
    st.fixed_dictionaries({"type": st.just("function"), "function": st.just({"name": "add"}) | VALUES}), max_size=2
)
CHAT = st.fixed_dictionaries(
    {"messages": st.lists(MESSAGE, max_size=4)},
    optional={"tools": TOOLS, "parallel_tool_calls": st.booleans() | st.none()},
)
ANSWERS = st.lists(MESSAGE, max_size=2)
PAIR = st.fixed_dictionaries({"input": CHAT, "preferred_output": ANSWERS, "non_preferred_output": ANSWERS})
SAID = st.text(min_size=1, max_size=8) | st.sampled_from(["Hello.", "é👋", "\u2028", "x\x00", "<|x|>"])
PARTS = st.lists(
    st.fixed_dictionaries({"type": st.just("text"), "text": SAID})
    | st.just({"type": "image_url", "image_url": {"url": "https://a.example/x.png"}}),
    min_size=1,
    max_size=2,
)
ASKED = st.fixed_dictionaries(
    {"role": st.just("user"), "content": SAID | PARTS}, optional={"name": st.sampled_from(["mina", "b"])}
)
ANSWERED = st.fixed_dictionaries(
    {"role": st.just("assistant"), "content": SAID},
    optional={"weight": st.sampled_from([0, 1]), "refusal": st.none()},
)
FRAME = st.fixed_dictionaries({"role": st.just("system"), "content": SAID | st.just("")})
CALLS = st.lists(st.sampled_from(["add", "sub"]), min_size=1, max_size=2)


@st.composite
def likely(draw: st.DrawFn) -> dict[str, Any]:
    """A chat that is mostly right, with tools or without."""
    messages: list[Any] = [*draw(st.lists(FRAME, max_size=1)), draw(ASKED)]
    chat: dict[str, Any] = {}
    if draw(st.booleans()):
        names = draw(CALLS)
        calls = [
            {"id": f"c{number}", "type": "function", "function": {"name": name, "arguments": "{}"}}
            for number, name in enumerate(names)
        ]
        chat["tools"] = [{"type": "function", "function": {"name": name}} for name in ("add", "sub")]
        messages.append({"role": "assistant", "tool_calls": calls} | draw(st.sampled_from([{}, {"content": None}])))
        messages += [{"role": "tool", "tool_call_id": call["id"], "content": draw(SAID)} for call in calls]
    return chat | {"messages": [*messages, draw(ANSWERED)]}


LIKELY_PAIR = st.builds(
    lambda asked, one, other: {
        "input": {"messages": [asked]},
        "preferred_output": [one],
        "non_preferred_output": [other],
    },
    ASKED,
    ANSWERED,
    ANSWERED,
)
ROW = st.one_of(likely(), likely(), LIKELY_PAIR, CHAT, PAIR, VALUES, st.lists(MESSAGE, max_size=4))


def encoded(rows: list[Any], encoding: str, indent: int | None) -> bytes:
    return "\n".join(json.dumps(row, indent=indent) for row in rows).encode(encoding, "surrogatepass")


FILES = st.one_of(
    st.binary(max_size=60),
    st.builds(
        encoded,
        st.lists(ROW, max_size=3),
        st.sampled_from(["utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"]),
        st.sampled_from([None, None, 1]),
    ),
)

LIKELY_FILES = st.builds(
    encoded,
    st.lists(likely(), min_size=1, max_size=2) | st.lists(LIKELY_PAIR, min_size=1, max_size=2),
    st.just("utf-8"),
    st.none(),
)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A file with a piece cut out of it and another put in."""
    content = draw(FILES)
    start = draw(st.integers(0, len(content)))
    end = draw(st.integers(start, min(len(content), start + 6)))
    return (
        content[:start]
        + draw(st.binary(max_size=3) | st.sampled_from([b",", b'"', b"}", b"\\", b"\n"]))
        + content[end:]
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("any")


def outcome(path: Path, into: Path, rules: DatasetRules) -> BuildResult | DatasetError:
    try:
        return build_dataset(path, into, rules)
    except DatasetError as error:
        return error


@settings(max_examples=400, deadline=None, derandomize=True)
@given(
    content=LIKELY_FILES | FILES | damaged(),
    name=st.sampled_from(["chat.json", "rows.jsonl"]),
    method=st.sampled_from(["supervised", "dpo"]),
)
def test_any_bytes_are_findings_or_a_dataset_the_sandbox_accepts(
    folder: Path, content: bytes, name: str, method: Method
) -> None:
    path = folder / name
    path.write_bytes(content)
    rules = DatasetRules(minimum_examples=1, method=method, base_models=("gpt-4.1-2025-04-14",))
    checked = check_dataset(path, rules)
    assert checked.summary.chats == checked.summary.examples + checked.summary.refused
    for output in (
        to_text(checked),
        json.dumps(to_json(checked)),
        json.dumps(to_sarif(checked)),
        to_html(checked, title="x"),
    ):
        output.encode()
        assert "\x1b" not in output
    built = outcome(path, folder / "out", rules)
    event(f"{method}: {'refused' if isinstance(built, DatasetError) else 'accepted'}")
    if isinstance(built, DatasetError):
        assert built.findings
        assert all(found.hint and found.message for found in built.findings)
        return
    rows = built.dataset.training.path.read_bytes().splitlines(keepends=True)
    accepted = folder / "accepted.jsonl"
    accepted.write_bytes(b"".join(rows * 10))
    verdict = validate_training_file(accepted, sha256(accepted.read_bytes()).hexdigest())
    assert verdict.unreadable is None
    assert verdict.problems[method] is None


def test_the_samples_are_accepted(tmp_path: Path) -> None:
    built = build_dataset(SAMPLES, tmp_path)
    verdict = validate_training_file(built.dataset.training.path, built.dataset.sha256)
    assert (verdict.unreadable, verdict.problems["supervised"], verdict.examples) == (None, None, 14)


def test_the_sandbox_can_refuse(tmp_path: Path) -> None:
    """So that the property above can fail."""
    path = tmp_path / "bad.jsonl"
    path.write_text(json.dumps(GOOD | {"messages": GOOD["messages"][:1]}) + "\n")
    assert "assistant" in (validate_training_file(path, "x").problems["supervised"] or "")
