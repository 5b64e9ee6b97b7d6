"""Gemini: a converted chat has everything of the canonical chat, or the conversion refuses the exact value."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from converted_chats import read_gemini, rich_chats, text_chats, to_normal_form
from hypothesis import given

from orchestrator.dataset.checks.structure import check_structure
from orchestrator.dataset.convert.gemini import convert_chat
from orchestrator.dataset.convert.refusal import ConversionRefused
from orchestrator.dataset.example import ExampleBody, KeyPath, format_json_path
from orchestrator.dataset.formats.bedrock_vertex import VERTEX
from orchestrator.dataset.rules import DatasetRules

PIXEL = "data:image/png;base64,iVBORw0KGgo="
CALL = {"id": "a", "type": "function", "function": {"name": "hours", "arguments": '{"day": "Monday"}'}}
OTHER_CALL = {"id": "b", "type": "function", "function": {"name": "hours", "arguments": "{}"}}
TOOL = {
    "type": "function",
    "function": {
        "name": "hours",
        "description": "The opening hours.",
        "parameters": {"type": "object", "properties": {"day": {"type": ["string", "null"]}}, "required": ["day"]},
    },
}
CHAT: ExampleBody = {
    "messages": [
        {"role": "system", "content": "Be short."},
        {
            "role": "user",
            "content": [{"type": "text", "text": "Open?"}, {"type": "image_url", "image_url": {"url": PIXEL}}],
        },
        {"role": "assistant", "content": None, "tool_calls": [CALL, OTHER_CALL]},
        {"role": "tool", "tool_call_id": "a", "content": "10-18"},
        {"role": "tool", "tool_call_id": "b", "content": "[]"},
        {"role": "assistant", "content": "From ten to six."},
    ],
    "tools": [TOOL],
}


def test_chat_is_converted_to_the_documented_form() -> None:
    declared = {
        "name": "hours",
        "description": "The opening hours.",
        "parameters": {
            "type": "OBJECT",
            "properties": {"day": {"type": "STRING", "nullable": True}},
            "required": ["day"],
        },
    }
    assert convert_chat(CHAT) == {
        "systemInstruction": {"role": "system", "parts": [{"text": "Be short."}]},
        "contents": [
            {
                "role": "user",
                "parts": [{"text": "Open?"}, {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}}],
            },
            {
                "role": "model",
                "parts": [
                    {"functionCall": {"name": "hours", "args": {"day": "Monday"}}},
                    {"functionCall": {"name": "hours", "args": {}}},
                ],
            },
            {
                "role": "user",
                "parts": [
                    {"functionResponse": {"name": "hours", "response": {"output": "10-18"}}},
                    {"functionResponse": {"name": "hours", "response": {"output": "[]"}}},
                ],
            },
            {"role": "model", "parts": [{"text": "From ten to six."}]},
        ],
        "tools": [{"functionDeclarations": [declared]}],
    }


@given(rich_chats())
def test_converted_chat_reads_back_equal(chat: ExampleBody) -> None:
    before = copy.deepcopy(chat)
    assert read_gemini(convert_chat(chat)) == to_normal_form(chat)
    assert chat == before, "the conversion changed its input"


@given(text_chats())
def test_reader_of_the_format_reads_the_same_texts(chat: ExampleBody) -> None:
    parsed = VERTEX.parse(convert_chat(chat))
    assert parsed is not None
    assert (parsed.issues, parsed.left_out) == ((), ())
    assert [message["content"] for message in parsed.body["messages"]] == [
        message["content"]
        if isinstance(message["content"], str)
        else "\n\n".join(part["text"] for part in message["content"])
        for message in chat["messages"]
    ]


def with_value(key_path: KeyPath, value: Any) -> ExampleBody:
    chat = copy.deepcopy(CHAT)
    target: Any = chat
    for key in key_path[:-1]:
        target = target[key]
    if isinstance(target, list) and key_path[-1] == len(target):
        target.append(value)
    else:
        target[key_path[-1]] = value
    return chat


FUNCTION: KeyPath = ("tools", 0, "function")
PARAMETERS: KeyPath = (*FUNCTION, "parameters")
ARGUMENTS: KeyPath = ("messages", 2, "tool_calls", 0, "function", "arguments")
IMAGE: KeyPath = ("messages", 1, "content", 1, "image_url")
LOSSES: list[tuple[KeyPath, Any, str]] = [
    (("parallel_tool_calls",), False, '"parallel_tool_calls"'),
    (("messages", 0, "name"), "bot", '"name"'),
    (("messages", 1, "name"), "anna", '"name"'),
    (("messages", 5, "weight"), 0, '"weight"'),
    (("messages", 5, "weight"), 1, '"weight"'),
    (("messages", 5, "refusal"), "No.", '"refusal"'),
    (("messages", 5, "content", 0), {"type": "refusal", "refusal": "No."}, "'refusal'"),
    ((*IMAGE, "detail"), "low", '"detail"'),
    ((*IMAGE, "url"), "https://example.com/a.png", "fetch"),
    ((*IMAGE, "url"), "data:image/gif;base64,R0lGODlh", "gif"),
    (ARGUMENTS, '{"n": 9007199254740993}', "round the number 9007199254740993"),
    (ARGUMENTS, '{"n": 1e999}', "number inf"),
    (ARGUMENTS, '{"n": NaN}', "number nan"),
    (ARGUMENTS, '{"n": 1, "n": 2}', "same key twice"),
    (ARGUMENTS, "[]", "not a JSON object"),
    ((*FUNCTION, "strict"), True, '"strict"'),
    ((*FUNCTION, "name"), "9hours", "'9hours'"),
    ((*PARAMETERS, "$schema"), "https://json-schema.org/draft/2020-12/schema", '"$schema"'),
    ((*PARAMETERS, "properties", "day", "oneOf"), [], '"oneOf"'),
    ((*PARAMETERS, "properties", "day", "type"), ["string", "integer"], "no type"),
    ((*PARAMETERS, "properties", "day", "nullable"), True, '"nullable"'),
    ((*PARAMETERS, "properties", "day", "enum"), [1, 2], "array of texts"),
    ((*PARAMETERS, "properties", "day", "default"), 2**60, "round the number"),
    ((*PARAMETERS, "properties", "day"), True, "must be an object"),
    ((*PARAMETERS, "minProperties"), "1", "a whole number"),
    ((*PARAMETERS, "description"), 5, "a text"),
    ((*PARAMETERS, "additionalProperties"), {"$ref": "#"}, '"$ref"'),
]


@pytest.mark.parametrize(("key_path", "value", "reason"), LOSSES)
def test_value_without_a_place_is_refused_with_its_path(key_path: KeyPath, value: Any, reason: str) -> None:
    if key_path == ("messages", 5, "content", 0):
        chat = with_value(("messages", 5, "content"), [value])
    else:
        chat = with_value(key_path, value)
    with pytest.raises(ConversionRefused) as refused:
        convert_chat(chat)
    expected = (*key_path, "$ref") if reason == '"$ref"' else key_path
    assert refused.value.key_path == expected
    assert reason in refused.value.reason
    assert str(refused.value) == f"{format_json_path(expected)}: {refused.value.reason}"


ASK, ANSWER = {"role": "user", "content": "Open?"}, {"role": "assistant", "content": "At ten."}
RESULTS = [{"role": "tool", "tool_call_id": called, "content": "10-18"} for called in "ab"]
CALLS = {"role": "assistant", "tool_calls": [CALL, OTHER_CALL]}
TWO_TEXTS = [{"type": "text", "text": "10"}, {"type": "text", "text": "18"}]


@pytest.mark.parametrize(
    ("messages", "key_path", "reason"),
    [
        ([ASK, ASK, ANSWER], ("messages", 1, "role"), "two user turns"),
        ([ASK, ANSWER, ANSWER], ("messages", 2, "role"), "two assistant turns"),
        ([ANSWER, ASK, ANSWER], ("messages", 0, "role"), "must be from the user"),
        ([ASK, {"role": "system", "content": "Be short."}, ANSWER], ("messages", 1, "role"), "one system message"),
        ([ASK, CALLS, *RESULTS, ASK, ANSWER], ("messages", 4, "role"), "two user turns"),
        ([ASK, CALLS, *reversed(RESULTS), ANSWER], ("messages", 2, "tool_call_id"), "order of their calls"),
        ([ASK, CALLS, RESULTS[0], ANSWER], ("messages", 1, "tool_calls"), "2 tool calls have 1 results"),
        ([ASK, CALLS, RESULTS[0] | {"content": TWO_TEXTS}], ("messages", 2, "content"), "one text"),
        ([ASK], ("messages",), "last turn"),
    ],
)
def test_order_without_a_place_is_refused_with_its_path(
    messages: list[dict[str, Any]], key_path: KeyPath, reason: str
) -> None:
    with pytest.raises(ConversionRefused, match=reason) as refused:
        convert_chat({"messages": messages, "tools": [TOOL]})
    assert refused.value.key_path == key_path


def test_calls_at_the_end_need_no_results() -> None:
    chat = {"messages": [ASK, CALLS], "tools": [TOOL]}
    assert read_gemini(convert_chat(chat)) == to_normal_form(chat)


def test_preference_pair_is_refused() -> None:
    pair = {"input": {"messages": [ASK]}, "preferred_output": [ANSWER], "non_preferred_output": [ANSWER]}
    with pytest.raises(ConversionRefused, match="preference pair"):
        convert_chat(pair)


def test_chats_of_these_tests_are_canonical() -> None:
    assert list(check_structure(CHAT, DatasetRules())) == []


@given(rich_chats())
def test_generated_chats_are_canonical(chat: ExampleBody) -> None:
    assert {issue.code.slug for issue in check_structure(chat, DatasetRules())} <= {"special-token"}
