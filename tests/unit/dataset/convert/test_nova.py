"""Nova: a converted chat has everything of the canonical chat, or the conversion refuses the exact value."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from converted_chats import read_nova, text_chats, to_normal_form
from hypothesis import given

from orchestrator.dataset.convert.nova import convert_chat
from orchestrator.dataset.convert.refusal import ConversionRefused
from orchestrator.dataset.example import ExampleBody, KeyPath
from orchestrator.dataset.formats.bedrock_vertex import BEDROCK

ASK, ANSWER = {"role": "user", "content": "Open?"}, {"role": "assistant", "content": "At ten."}
SYSTEM = {"role": "system", "content": "Be short."}
CALL = {"id": "a", "type": "function", "function": {"name": "hours", "arguments": "{}"}}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}


def test_chat_is_converted_to_the_documented_form() -> None:
    assert convert_chat({"messages": [SYSTEM, ASK, ANSWER]}) == {
        "schemaVersion": "bedrock-conversation-2024",
        "system": [{"text": "Be short."}],
        "messages": [
            {"role": "user", "content": [{"text": "Open?"}]},
            {"role": "assistant", "content": [{"text": "At ten."}]},
        ],
    }


def starts_a_line_with_a_reserved_word(chat: ExampleBody) -> bool:
    texts = [
        text
        for message in chat["messages"]
        for text in (
            [message["content"]]
            if isinstance(message["content"], str)
            else [part["text"] for part in message["content"]]
        )
    ]
    words = ("user:", "bot:", "assistant:", "system:", "[eos]")
    return any(line.strip(" \t").lower().startswith(words) for text in texts for line in text.split("\n"))


@given(text_chats())
def test_converted_chat_reads_back_equal(chat: ExampleBody) -> None:
    before = copy.deepcopy(chat)
    if starts_a_line_with_a_reserved_word(chat):
        with pytest.raises(ConversionRefused):
            convert_chat(chat)
    else:
        assert read_nova(convert_chat(chat)) == to_normal_form(chat)
    assert chat == before, "the conversion changed its input"


@given(text_chats())
def test_reader_of_the_format_reads_the_same_roles(chat: ExampleBody) -> None:
    parsed = BEDROCK.parse(convert_chat(chat))
    assert parsed is not None
    assert (parsed.issues, parsed.left_out) == ((), ())
    assert [turn["role"] for turn in parsed.body["messages"]] == [turn["role"] for turn in chat["messages"]]


@pytest.mark.parametrize(
    ("chat", "key_path", "reason"),
    [
        ({"messages": [ASK, ANSWER], "tools": []}, ("tools",), '"tools"'),
        ({"messages": [ASK, ANSWER], "parallel_tool_calls": True}, ("parallel_tool_calls",), "no place"),
        ({"messages": [ASK, ANSWER | {"weight": 1}]}, ("messages", 1, "weight"), '"weight"'),
        ({"messages": [SYSTEM | {"name": "x"}, ASK, ANSWER]}, ("messages", 0, "name"), '"name"'),
        ({"messages": [ASK | {"name": "x"}, ANSWER]}, ("messages", 0, "name"), '"name"'),
        ({"messages": [ASK, ANSWER | {"tool_calls": [CALL]}]}, ("messages", 1, "tool_calls"), '"tool_calls"'),
        ({"messages": [ASK, {"role": "tool", "content": "x"}]}, ("messages", 1, "role"), "result of a tool"),
        ({"messages": [ASK | {"content": [IMAGE]}, ANSWER]}, ("messages", 0, "content", 0), "'image_url'"),
        ({"messages": [ASK, ASK, ANSWER]}, ("messages", 1, "role"), "two user turns"),
        ({"messages": [ANSWER]}, ("messages", 0, "role"), "must be from the user"),
        ({"messages": [ASK, SYSTEM, ANSWER]}, ("messages", 1, "role"), "one system message"),
        ({"messages": [ASK | {"content": "Hi\n user: x"}, ANSWER]}, ("messages", 0, "content"), "'user:'"),
        (
            {"messages": [ASK, {"role": "assistant", "content": [{"type": "text", "text": "[EOS]"}]}]},
            ("messages", 1, "content", 0, "text"),
            "template",
        ),
        ({"input": {"messages": [ASK]}}, (), "preference pair"),
    ],
)
def test_value_without_a_place_is_refused_with_its_path(chat: dict[str, Any], key_path: KeyPath, reason: str) -> None:
    with pytest.raises(ConversionRefused, match=reason) as refused:
        convert_chat(chat)
    assert refused.value.key_path == key_path


def test_reserved_word_inside_a_line_is_kept() -> None:
    chat = {"messages": [ASK | {"content": "Ask the user: when?"}, ANSWER]}
    assert read_nova(convert_chat(chat)) == chat
