"""Reads converted training lines back to canonical chats, and generates canonical chats."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

from hypothesis import strategies as st

Chat = dict[str, Any]
NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_-]{0,9}", fullmatch=True)
TEXTS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20).filter(lambda text: bool(text.strip()))
NUMBERS = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
TEXT_PART = st.builds(lambda text: {"type": "text", "text": text}, TEXTS)
IMAGES = st.sampled_from(("png", "jpeg", "webp")).map(
    lambda kind: {"type": "image_url", "image_url": {"url": f"data:image/{kind};base64,iVBORw0KGgo="}}
)
TEXT_CONTENT = TEXTS | st.lists(TEXT_PART, min_size=1, max_size=3)
SCHEMAS: st.SearchStrategy[Any] = st.deferred(
    lambda: st.fixed_dictionaries(
        {"type": st.sampled_from(("string", "integer", "object", "array", ["string", "null"], ["array", "null"]))},
        optional={
            "description": TEXTS,
            "properties": st.dictionaries(NAMES, SCHEMAS, max_size=2),
            "items": SCHEMAS,
            "anyOf": st.lists(SCHEMAS, max_size=2),
            "additionalProperties": st.booleans() | SCHEMAS,
            "enum": st.lists(TEXTS, max_size=2),
            "required": st.lists(NAMES, max_size=2),
            "default": JSON_VALUES,
            "minimum": NUMBERS,
            "maxLength": st.integers(0, 99),
        },
    )
)
FUNCTIONS = st.fixed_dictionaries({"name": NAMES}, optional={"description": TEXTS, "parameters": SCHEMAS})


def read_gemini(line: Chat) -> Chat:
    """Read a line for Gemini. Calls get the ids 0, 1, 2 in their order, because a line has none."""
    messages: list[Chat] = []
    ids, open_calls = map(str, count()), iter(list[Chat]())
    if system := line.get("systemInstruction"):
        assert system["role"] == "system"
        messages.append({"role": "system", "content": read_parts(system["parts"])})
    for turn in line["contents"]:
        role, parts = turn["role"], turn["parts"]
        if role == "user" and "functionResponse" in parts[0]:
            for part, call in zip(parts, open_calls, strict=True):
                result = part["functionResponse"]
                assert result["name"] == call["function"]["name"]
                text = result["response"]["output"]
                messages.append({"role": "tool", "content": text, "tool_call_id": call["id"]})
            continue
        assert role in ("user", "model")
        content = [part for part in parts if "functionCall" not in part]
        calls = [read_call(part["functionCall"], next(ids)) for part in parts[len(content) :]]
        open_calls = iter(calls)
        messages.append(
            {"role": "user" if role == "user" else "assistant"}
            | ({"content": read_parts(content)} if content else {})
            | ({"tool_calls": calls} if calls else {})
        )
    tools = [
        {"type": "function", "function": read_function(declared)}
        for group in line.get("tools", ())
        for declared in group["functionDeclarations"]
    ]
    return {"messages": messages} | ({"tools": tools} if tools else {})


def read_call(call: Chat, called: str) -> Chat:
    return {"id": called, "type": "function", "function": {"name": call["name"], "arguments": call["args"]}}


def read_parts(parts: list[Chat]) -> Any:
    match parts:
        case [{"text": text}]:
            return text
    return [read_part(part) for part in parts]


def read_part(part: Chat) -> Chat:
    if "text" in part:
        return {"type": "text", "text": part["text"]}
    image = part["inlineData"]
    return {"type": "image_url", "image_url": {"url": f"data:{image['mimeType']};base64,{image['data']}"}}


def read_function(declared: Chat) -> Chat:
    return declared | ({"parameters": read_schema(declared["parameters"])} if "parameters" in declared else {})


def read_schema(schema: Chat) -> Chat:
    read = dict(schema)
    kind = str(read["type"]).lower()
    read["type"] = [kind, "null"] if read.pop("nullable", False) else kind
    for key, value in schema.items():
        if key == "properties":
            read[key] = {name: read_schema(inner) for name, inner in value.items()}
        elif key in ("items", "additionalProperties") and not isinstance(value, bool):
            read[key] = read_schema(value)
        elif key == "anyOf":
            read[key] = [read_schema(inner) for inner in value]
    return read


def read_nova(line: Chat) -> Chat:
    """Read a line for Nova."""
    assert line["schemaVersion"] == "bedrock-conversation-2024"
    turns = [("system", line["system"])] if "system" in line else []
    turns += [(turn["role"], turn["content"]) for turn in line["messages"]]
    return {"messages": [{"role": role, "content": read_parts(blocks)} for role, blocks in turns]}


def to_normal_form(chat: Chat) -> Chat:
    """Return the chat with one writing of what means the same: a single text part is its text, arguments are values,
    an absent content is absent, and calls are numbered."""
    numbers, renamed, messages = map(str, count()), {}, []
    for message in chat["messages"]:
        normal = {key: value for key, value in message.items() if key != "content" or value is not None}
        match normal.get("content"):
            case [{"type": "text", "text": text}]:
                normal["content"] = text
        if calls := normal.get("tool_calls"):
            renamed = {call["id"]: next(numbers) for call in calls}
            normal["tool_calls"] = [
                call
                | {
                    "id": renamed[call["id"]],
                    "function": call["function"] | {"arguments": json.loads(call["function"]["arguments"])},
                }
                for call in calls
            ]
        if "tool_call_id" in normal:
            normal["tool_call_id"] = renamed[normal["tool_call_id"]]
        messages.append(normal)
    return chat | {"messages": messages}


@st.composite
def text_chats(draw: st.DrawFn, content: st.SearchStrategy[Any] = TEXT_CONTENT) -> Chat:
    """Generate a chat of texts whose turns alternate."""
    messages = [{"role": "system", "content": draw(TEXT_CONTENT)}] if draw(st.booleans()) else []
    for _ in range(draw(st.integers(1, 3))):
        messages.append({"role": "user", "content": draw(content)})
        messages.append({"role": "assistant", "content": draw(TEXT_CONTENT)})
    return {"messages": messages}


@st.composite
def rich_chats(draw: st.DrawFn) -> Chat:
    """Generate a chat with images, tools, tool calls and their results."""
    chat = draw(text_chats(TEXT_CONTENT | st.lists(TEXT_PART | IMAGES, min_size=1, max_size=3)))
    functions = draw(st.lists(FUNCTIONS, min_size=1, max_size=2))
    chat["tools"] = [{"type": "function", "function": function} for function in functions]
    for index, message in reversed(list(enumerate(chat["messages"]))):
        if message["role"] == "user" and draw(st.booleans()):
            chat["messages"][index + 1 : index + 1] = draw_calls(draw, functions)
    return chat


def draw_calls(draw: Callable[[st.SearchStrategy[Any]], Any], functions: list[Chat]) -> Iterator[Chat]:
    """Generate an assistant message with calls, and a tool message for each."""
    ids = draw(st.lists(st.text(min_size=1, max_size=5), min_size=1, max_size=3, unique=True))
    calls = [
        {
            "id": called,
            "type": "function",
            "function": {
                "name": draw(st.sampled_from(functions))["name"],
                "arguments": json.dumps(draw(st.dictionaries(TEXTS, JSON_VALUES, max_size=3))),
            },
        }
        for called in ids
    ]
    content = draw(st.just({}) | st.just({"content": None}) | TEXT_CONTENT.map(lambda text: {"content": text}))
    yield {"role": "assistant", **content, "tool_calls": calls}
    for called in ids:
        result = draw(TEXTS | st.lists(TEXT_PART, min_size=1, max_size=1))
        yield {"role": "tool", "tool_call_id": called, "content": result}
