"""Each supported format is read, each foreign foreign is reported once, and no data is lost."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.errors import DatasetError
from orchestrator.core.spec import Method
from orchestrator.dataset.builder import build_dataset
from orchestrator.dataset.checker import check_dataset
from orchestrator.dataset.formats import FORMATS
from orchestrator.dataset.formats.base import ChatFormat
from orchestrator.dataset.formats.foreign import FOREIGN_FORMATS, ForeignFormat
from orchestrator.dataset.formats.sillytavern import SILLYTAVERN
from orchestrator.dataset.rules import DatasetRules
from orchestrator.dataset.summary import CheckResult

DOCS = Path(__file__).parents[3] / "docs"
DECLARED = (*FORMATS, SILLYTAVERN)
ASK = {"role": "user", "content": "When do you open?"}
ANSWER = {"role": "assistant", "content": "At ten."}
WORSE_ANSWER = {"role": "assistant", "content": "No idea."}
SYSTEM = {"role": "system", "content": "Be short."}
BY_DATA = DatasetRules(minimum_examples=0, method=None)


def checked(tmp_path: Path, *rows: Any, rules: DatasetRules = BY_DATA) -> CheckResult:
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return check_dataset(tmp_path / "a.jsonl", rules)


def built(tmp_path: Path, *rows: Any) -> list[Any]:
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    path = build_dataset(tmp_path / "a.jsonl", tmp_path / "out", BY_DATA).dataset.training.path
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def places(result: CheckResult) -> list[tuple[str, int | None, str | None]]:
    return [(found.code, found.line, found.path) for found in result.errors]


@pytest.mark.parametrize("declared", DECLARED, ids=lambda each: each.name)
@pytest.mark.parametrize("name", ["a.json", "a.jsonl"])
def test_example_of_each_format_is_read(declared: ChatFormat, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(declared.example)
    result = check_dataset(tmp_path, BY_DATA)
    assert result.errors == ()
    assert result.summary.formats == {declared.name: result.summary.chats}
    assert result.summary.examples > 0


def test_formats_page_matches_the_readers() -> None:
    page = runpy.run_path(str(DOCS / "generate_formats.py"))["page"]()
    written = (DOCS / "reference" / "formats.md").read_text(encoding="utf-8")
    assert written == page, "docs/reference/formats.md has drifted; run: python docs/generate_formats.py"
    assert all(declared.example in page for declared in DECLARED)


@pytest.mark.parametrize("foreign", FOREIGN_FORMATS, ids=lambda foreign: foreign.name)
def test_foreign_format_is_reported_once(foreign: ForeignFormat, tmp_path: Path) -> None:
    row = json.loads(foreign.example)
    for number, text in enumerate(
        (json.dumps([row] * 12), "\n".join([foreign.example] * 12), json.dumps(row, indent=2))
    ):
        path = tmp_path / f"{number}.json"
        path.write_text(text)
        result = check_dataset(path, BY_DATA)
        (found,) = result.errors
        assert (found.code, found.message, found.hint) == ("foreign-format", f"this is {foreign.name}", foreign.hint)
        assert result.summary.refused == result.summary.chats == result.counts["foreign-format"]


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "When do you open?", "chosen": [ASK, ANSWER], "rejected": [ASK, WORSE_ANSWER]},
        {"prompt": [ASK], "chosen": [ASK, ANSWER], "rejected": [ASK, WORSE_ANSWER]},
        {"prompt": [ASK], "chosen": [ANSWER], "rejected": [WORSE_ANSWER]},
        {"chosen": [ASK, ANSWER], "rejected": [ASK, WORSE_ANSWER]},
        {"question": "When do you open?", "chosen": "At ten.", "rejected": "No idea."},
        {"instruction": "When do you open?", "input": "", "chosen": "At ten.", "rejected": "No idea."},
        {"conversations": [{"from": "human", "value": "When do you open?"}],
         "chosen": {"from": "gpt", "value": "At ten."}, "rejected": {"from": "gpt", "value": "No idea."}},
        {"messages": [ASK], "chosen": ANSWER, "rejected": WORSE_ANSWER},
        {"input": {"messages": [ASK], "tools": []},
         "preferred_output": [ANSWER], "non_preferred_output": [WORSE_ANSWER]},
    ],
)  # fmt: skip
def test_every_pair_format_gives_the_same_example(row: Any, tmp_path: Path) -> None:
    pair = {"input": {"messages": [ASK]}, "preferred_output": [ANSWER], "non_preferred_output": [WORSE_ANSWER]}
    assert built(tmp_path, row) == [pair]


def test_common_prefix_of_several_turns_is_the_prompt(tmp_path: Path) -> None:
    begins = [SYSTEM, ASK, ANSWER, {"role": "user", "content": "And close?"}]
    (row,) = built(tmp_path, {"chosen": [*begins, ANSWER], "rejected": [*begins, WORSE_ANSWER]})
    assert row == {
        "input": {"messages": begins},
        "preferred_output": [ANSWER],
        "non_preferred_output": [WORSE_ANSWER],
    }


def test_prompt_before_a_common_beginning_is_kept(tmp_path: Path) -> None:
    (row,) = built(tmp_path, {"prompt": [SYSTEM], "chosen": [ASK, ANSWER], "rejected": [ASK, WORSE_ANSWER]})
    assert row["input"] == {"messages": [SYSTEM, ASK]}


def test_pair_prefix_stops_before_equal_answers(tmp_path: Path) -> None:
    (row,) = built(tmp_path, {"chosen": [ASK, ANSWER], "rejected": [ASK, ANSWER]})
    assert row["preferred_output"] == row["non_preferred_output"] == [ANSWER]


def test_system_message_beside_a_pair_is_kept(tmp_path: Path) -> None:
    row = {"system": "Be short.", "prompt": "When do you open?", "chosen": "At ten.", "rejected": "No idea."}
    assert built(tmp_path, row)[0]["input"] == {"messages": [SYSTEM, ASK]}


def test_findings_in_a_pair_have_their_location(tmp_path: Path) -> None:
    empty = {"role": "assistant", "content": ""}
    result = checked(
        tmp_path,
        {"chosen": [ASK, empty], "rejected": [ASK, WORSE_ANSWER]},
        {"conversations": [{"from": "human", "value": ""}], "chosen": {"from": "gpt", "value": "A"}, "rejected": "B"},
        {"chosen": "\n\nHuman: Hi\n\nAssistant: Hello", "rejected": "\n\nHuman: Hi\n\nAssistant: No"},
        {"prompt": "Hi", "chosen": 7, "rejected": "B"},
        {"prompt": "Hi", "chosen": [ASK, ANSWER], "rejected": [WORSE_ANSWER]},
        {"prompt": 7, "chosen": "A", "rejected": "B"},
    )
    assert places(result) == [
        ("empty-content", 1, "$.chosen[1].content"),
        ("empty-content", 2, "$.conversations[0].value"),
        ("missing-key", 3, "$"),
        ("wrong-type", 4, "$.chosen"),
        ("wrong-order", 5, "$.chosen[1]"),
        ("wrong-order", 5, "$.chosen[0].role"),
        ("wrong-type", 6, "$.prompt"),
    ]
    assert '"preferred_output"' in result.errors[2].hint
    assert "input.messages" in result.errors[4].hint


@pytest.mark.parametrize("key", ["system", "system_prompt", "system_message", "systemPrompt"])
@pytest.mark.parametrize("content", ["Be short.", [{"type": "text", "text": "Be short."}], [{"text": "Be short."}]])
@pytest.mark.parametrize(
    "row",
    [
        {"messages": [ASK, ANSWER]},
        {"messages": [ASK, ANSWER], "model": "any", "max_tokens": 100},
        {"prompt": ASK["content"], "completion": ANSWER["content"]},
        {"prompt": [ASK], "completion": [ANSWER]},
        {"instruction": ASK["content"], "output": ANSWER["content"]},
        {"instruction": ASK["content"], "response": ANSWER["content"]},
        {"conversations": [{"from": "human", "value": ASK["content"]}, {"from": "gpt", "value": ANSWER["content"]}]},
        {"conversations": [ASK, ANSWER]},
    ],
)
def test_system_text_beside_the_chat_comes_first(row: Any, key: str, content: Any, tmp_path: Path) -> None:
    assert built(tmp_path, row | {key: content}) == [{"messages": [SYSTEM, ASK, ANSWER]}]


def test_empty_system_text_is_ignored(tmp_path: Path) -> None:
    assert built(tmp_path, {"messages": [ASK, ANSWER], "system": ""}) == [{"messages": [ASK, ANSWER]}]


def test_findings_after_a_system_text_have_their_location(tmp_path: Path) -> None:
    result = checked(tmp_path, {"system": 7, "messages": [ASK | {"content": ""}, ANSWER], "x": 1})
    assert places(result) == [
        ("unknown-key", 1, "$.x"),
        ("wrong-type", 1, "$.system"),
        ("empty-content", 1, "$.messages[0].content"),
    ]


REJECTED = [("label", False), ("label", 0), ("label", "bad"), ("desirable", False), ("rating", -1),
      ("rating", "thumbs down"),
      ("score", 0), ("feedback", {"rating": "thumbsDown"}), ("accepted", False), ("thumbs", "👎")]  # fmt: skip


@pytest.mark.parametrize(("key", "feedback"), REJECTED)
@pytest.mark.parametrize(
    "declared", [each for each in FORMATS if each.name not in ("preference", "messages")], ids=lambda each: each.name
)
def test_rejected_answer_is_never_trained(declared: ChatFormat, key: str, feedback: Any, tmp_path: Path) -> None:
    row = json.loads(declared.example.splitlines()[0])
    result = checked(tmp_path, row | {key: feedback})
    assert places(result) == [("unwanted-answer", 1, f"$.{key}")]
    assert result.summary.examples == 0
    with pytest.raises(DatasetError):
        build_dataset(tmp_path / "a.jsonl", tmp_path / "out", BY_DATA)


@pytest.mark.parametrize("feedback", [("label", True), ("label", 1), ("label", "good"), ("id", 0), ("rating", None)])
def test_unused_rating_values_are_left_out(feedback: tuple[str, Any], tmp_path: Path) -> None:
    result = checked(tmp_path, {"prompt": "Hi", "completion": "Ho", feedback[0]: feedback[1]})
    assert result.findings == ()
    assert result.summary.left_out == {f'key "{feedback[0]}"': 1}


def test_rating_on_an_unknown_scale_is_reported_once(tmp_path: Path) -> None:
    result = checked(tmp_path, *({"prompt": f"{n}" * 9, "completion": "Ho", "rating": n} for n in (1, 2, 5)))
    assert [(found.code, found.line, found.path) for found in result.findings] == [("unused-rating", 1, "$.rating")]
    assert result.counts["unused-rating"] == 3
    assert result.summary.examples == 3


def test_score_of_a_pair_is_not_a_rating(tmp_path: Path) -> None:
    row = {"prompt": "Hi", "chosen": "Ho", "rejected": "No", "score": 0}
    assert checked(tmp_path, row).findings == ()


@pytest.mark.parametrize("weight_key", [{"weight": 0}, {"loss": False}, {"train": False}])
def test_untrained_turn_has_weight_0(weight_key: Any, tmp_path: Path) -> None:
    asked, other = {"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello."}
    row = {"conversations": [asked, other | weight_key, asked, other]}
    (example,) = built(tmp_path, row)
    assert [message.get("weight") for message in example["messages"]] == [None, 0, None, None]
    assert places(checked(tmp_path, {"conversations": [asked, other | weight_key]})) == [("nothing-to-learn", 1, "$")]


@pytest.mark.parametrize("key", ["label", "rating", "loss", "train"])
def test_unknown_message_rating_is_reported(key: str, tmp_path: Path) -> None:
    result = checked(tmp_path, {"messages": [ASK, ANSWER | {key: False}]})
    assert places(result) == [("unknown-key", 1, f"$.messages[1].{key}")]
    assert "weight" in result.errors[0].hint


def test_empty_list_of_tools_is_left_out(tmp_path: Path) -> None:
    row = {"messages": [ASK, ANSWER], "tools": [], "parallel_tool_calls": True}
    assert built(tmp_path, row) == [{"messages": [ASK, ANSWER], "parallel_tool_calls": True}]


@pytest.mark.parametrize(
    ("role", "intended"),
    [("User", "user"), ("human", "user"), (" user", "user"), ("Assistant", "assistant"), ("model", "assistant"),
     ("bot", "assistant"), ("SYSTEM", "system")],
)  # fmt: skip
def test_misspelled_role_is_the_only_error(role: str, intended: str, tmp_path: Path) -> None:
    result = checked(tmp_path, {"messages": [ASK, {"role": role, "content": "Hello."}]})
    assert places(result) == [("unknown-role", 1, "$.messages[1].role")]
    assert result.errors[0].hint == f'Use "{intended}".'


PAIR = {"prompt": "Hi", "chosen": "Ho", "rejected": "No"}
CHAT = {"messages": [ASK, ANSWER]}


@pytest.mark.parametrize(
    ("method", "rows", "wrong"),
    [
        (None, (PAIR, PAIR), []),
        (None, (CHAT, CHAT), []),
        (None, (PAIR, CHAT), [2]),
        (None, (CHAT, PAIR), [2]),
        ("dpo", (CHAT, PAIR), [1]),
        ("supervised", (PAIR, CHAT), [1]),
    ],
)
def test_method_defaults_to_that_of_the_first_example(
    method: Method | None, rows: tuple[Any, ...], wrong: list[int], tmp_path: Path
) -> None:
    result = checked(tmp_path, *rows, rules=DatasetRules(minimum_examples=0, method=method))
    assert [(found.code, found.line) for found in result.errors] == [("wrong-method", line) for line in wrong]


def test_vertex_turn_without_text_is_refused(tmp_path: Path) -> None:
    turns = [{"role": "user", "parts": [{"text": "See?"}, {"inlineData": {"data": ""}}]}, 7]
    assert places(checked(tmp_path, {"contents": turns})) == [
        ("wrong-type", 1, "$.contents[0]"),
        ("wrong-type", 1, "$.contents[1]"),
    ]
