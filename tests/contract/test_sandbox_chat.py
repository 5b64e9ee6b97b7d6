"""What the chat completions and responses of the sandbox make of every parameter: kept or refused, never skipped."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from jsonschema import Draft202012Validator
from sandboxes import MODEL, InProcess, serving

from orchestrator.sandbox import Fault, SandboxSettings
from orchestrator.sandbox.endpoints.responses import RESPONSE_PARAMETERS as RESPONSE_PARAMETERS
from orchestrator.sandbox.validation.chat_request import CHAT_PARAMETERS as CHAT_PARAMETERS

CHAT = "/chat/completions"
USER = {"role": "user", "content": "Is it late?"}
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {
            "type": "object",
            "required": ["city", "days"],
            "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}},
        },
    },
}


@pytest.fixture
async def client() -> AsyncIterator[httpx2.AsyncClient]:
    async with InProcess().client() as client:
        yield client


async def post_chat(client: httpx2.AsyncClient, path: str = CHAT, **options: Any) -> Any:
    """The answer to one question."""
    usual = {"messages": [USER]} if path == CHAT else {"input": "Is it late?"}
    answer = await client.post(path, json={"model": MODEL} | usual | options)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def stream(client: httpx2.AsyncClient, path: str = CHAT, **options: Any) -> list[tuple[str, Any]]:
    """The events of one answer: their names and their data, which is JSON but for the last of a chat."""
    usual = {"messages": [USER]} if path == CHAT else {"input": "Is it late?"}
    answer = await client.post(path, json={"model": MODEL, "stream": True} | usual | options)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert "content-length" not in answer.headers
    events = []
    for block in answer.text.removesuffix("\n\n").split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        data = fields.pop("data")
        events.append((fields.pop("event", ""), data if data == "[DONE]" else json.loads(data)))
        assert fields == {}
    return events


async def test_stream_has_the_content_of_the_whole_answer(client: httpx2.AsyncClient) -> None:
    whole = await post_chat(client)
    *chunks, done = [data for _, data in await stream(client)]
    assert done == "[DONE]"
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert not any("usage" in chunk for chunk in chunks)
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert deltas[0] == {"role": "assistant", "content": "", "refusal": None}
    assert all(delta.keys() == {"content"} for delta in deltas[1:-1])
    assert len(deltas) > 5
    assert "".join(delta.get("content", "") for delta in deltas) == whole["choices"][0]["message"]["content"]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    assert deltas[-1] == {}


async def test_usage_is_the_last_chunk_when_requested(client: httpx2.AsyncClient) -> None:
    whole = await post_chat(client)
    *chunks, usage, done = [data for _, data in await stream(client, stream_options={"include_usage": True})]
    assert done == "[DONE]"
    assert (usage["choices"], usage["usage"]) == ([], whole["usage"])
    assert all(chunk["usage"] is None for chunk in chunks)


async def test_several_choices_differ(client: httpx2.AsyncClient) -> None:
    whole = await post_chat(client, n=4)
    texts = [choice["message"]["content"] for choice in whole["choices"]]
    assert [choice["index"] for choice in whole["choices"]] == [0, 1, 2, 3]
    assert len(set(texts)) > 1
    assert texts[0] == (await post_chat(client))["choices"][0]["message"]["content"]
    streamed = dict.fromkeys(range(4), "")
    for _, chunk in (await stream(client, n=4))[:-1]:
        (choice,) = chunk["choices"]
        streamed[choice["index"]] += choice["delta"].get("content") or ""
    assert list(streamed.values()) == texts


@pytest.mark.parametrize("limit", ["max_tokens", "max_completion_tokens"])
async def test_an_answer_ends_at_its_limit(client: httpx2.AsyncClient, limit: str) -> None:
    text = (await post_chat(client))["choices"][0]["message"]["content"]
    cut = await post_chat(client, CHAT, **{limit: 3})
    assert cut["choices"][0]["finish_reason"] == "length"
    assert text.startswith(cut["choices"][0]["message"]["content"])
    assert len(cut["choices"][0]["message"]["content"].split()) == cut["usage"]["completion_tokens"] == 3
    assert (await post_chat(client, CHAT, **{limit: 1000}))["choices"][0]["finish_reason"] == "stop"


async def test_an_answer_ends_before_a_stop_sequence(client: httpx2.AsyncClient) -> None:
    text = (await post_chat(client))["choices"][0]["message"]["content"]
    words = text.split()
    for stop in (words[4], [words[4], "nowhere"]):
        choice = (await post_chat(client, stop=stop))["choices"][0]
        assert (choice["message"]["content"], choice["finish_reason"]) == (text[: text.index(words[4])], "stop")


async def test_token_probabilities_are_returned(client: httpx2.AsyncClient) -> None:
    choice = (await post_chat(client, logprobs=True, top_logprobs=20, max_tokens=2))["choices"][0]
    content = choice["logprobs"]["content"]
    assert "".join(entry["token"] for entry in content) == choice["message"]["content"]
    for entry in content:
        told = [other["token"] for other in entry["top_logprobs"]]
        assert len(set(told)) == len(told) == 20
        assert told[0] == entry["token"]
        assert all(other["logprob"] < 0 for other in entry["top_logprobs"])
    assert (await post_chat(client))["choices"][0]["logprobs"] is None
    chunks = [data for _, data in await stream(client, logprobs=True)][1:-2]
    assert [len(chunk["choices"][0]["logprobs"]["content"]) for chunk in chunks] == [1] * len(chunks)


SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["who", "kind", "age", "share", "day", "next", "tags", "sure"],
    "properties": {
        "who": {"type": "string", "maxLength": 4},
        "kind": {"enum": ["cat", "dog"]},
        "age": {"type": "integer", "exclusiveMinimum": 2, "multipleOf": 5},
        "share": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
        "day": {"type": ["string", "null"], "format": "date"},
        "next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]},
        "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}, "minItems": 2},
        "sure": {"type": "boolean"},
    },
    "$defs": {"tag": {"type": "string", "minLength": 90}},
}


async def test_answer_matches_the_requested_schema(client: httpx2.AsyncClient) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "pet", "strict": True, "schema": SCHEMA}}
    text = (await post_chat(client, response_format=wanted))["choices"][0]["message"]["content"]
    assert [*Draft202012Validator(SCHEMA).iter_errors(json.loads(text))] == []
    said = await post_chat(
        client, messages=[{"role": "user", "content": "As JSON"}], response_format={"type": "json_object"}
    )
    assert isinstance(json.loads(said["choices"][0]["message"]["content"]), dict)
    flat = {"format": {"type": "json_schema", "name": "pet", "schema": SCHEMA}}
    response = await post_chat(client, "/responses", text=flat)
    assert json.loads(response["output"][0]["content"][0]["text"]) == json.loads(text)


async def test_a_function_is_called_when_it_must_be_or_is_named(client: httpx2.AsyncClient) -> None:
    choice = (await post_chat(client, tools=[TOOL], tool_choice="required"))["choices"][0]
    (call,) = choice["message"]["tool_calls"]
    assert (choice["finish_reason"], choice["message"]["content"]) == ("tool_calls", None)
    assert call["function"]["name"] == "get_weather"
    parameters: Any = TOOL["function"]
    assert Draft202012Validator(parameters["parameters"]).is_valid(json.loads(call["function"]["arguments"]))

    named = {"type": "function", "function": {"name": "get_weather"}}
    assert (await post_chat(client, tools=[TOOL], tool_choice=named))["choices"][0]["finish_reason"] == "tool_calls"
    mentioned = {"role": "user", "content": "Please use get_weather."}
    assert (await post_chat(client, messages=[mentioned], tools=[TOOL]))["choices"][0]["message"]["tool_calls"]
    for options in ({"tools": [TOOL]}, {"tools": [TOOL], "tool_choice": "none", "messages": [mentioned]}):
        assert (await post_chat(client, **options))["choices"][0]["finish_reason"] == "stop"
    answered = {"role": "tool", "tool_call_id": call["id"], "content": "sunny"}
    after = await post_chat(client, messages=[mentioned, choice["message"], answered], tools=[TOOL])
    assert after["choices"][0]["message"]["content"]


async def test_a_call_is_streamed_in_pieces(client: httpx2.AsyncClient) -> None:
    *chunks, last, _ = [data for _, data in await stream(client, tools=[TOOL], tool_choice="required")]
    assert last["choices"][0]["finish_reason"] == "tool_calls"
    pieces = [chunk["choices"][0]["delta"]["tool_calls"][0] for chunk in chunks]
    assert pieces[0]["function"] == {"name": "get_weather", "arguments": ""}
    assert json.loads("".join(piece["function"]["arguments"] for piece in pieces))["days"] == 1


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"n": 0}, "n"),
        ({"n": 129}, "n"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 1, "max_completion_tokens": 1}, "max_tokens"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"stop": [""]}, "stop"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"stream": True, "stream_options": {"include_usage": "yes"}}, "stream_options.include_usage"),
        ({"temperature": 3}, "temperature"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"logit_bias": {"50": -100}}, "logit_bias"),
        ({"modalities": ["audio"]}, "modalities"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"store": True}, "store"),
        ({"response_format": {"type": "xml"}}, "response_format"),
        ({"response_format": {"type": "json_object"}}, "messages"),
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": {}}}}, "response_format"),
        ({"tools": [{"type": "code_interpreter"}]}, "tools[0]"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "x"}}}, "tool_choice"),
        ({"colour": "red"}, "colour"),
        ({"messages": [{"role": "user"}]}, "messages.[0]"),
        ({"messages": [USER, {"role": "tool", "tool_call_id": "x", "content": "y"}]}, "messages.[1]"),
    ],
)
async def test_unsupported_option_is_refused(client: httpx2.AsyncClient, options: dict[str, Any], param: str) -> None:
    answer = await client.post(CHAT, json={"model": MODEL, "messages": [USER]} | options)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "pattern": "^a"},
        {"type": "colour"},
        {"$ref": "#/nowhere"},
        {"$ref": "#"},
        {"type": "object", "required": ["a"], "properties": {"a": 1}},
        {"type": "integer", "minimum": 3, "maximum": 2},
        {"enum": []},
        {"type": "string", "format": "colour"},
        {"allOf": [{}, {}]},
        {"type": "array", "minItems": -1},
    ],
)
async def test_unsupported_schema_is_refused(client: httpx2.AsyncClient, schema: dict[str, Any]) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    answer = await client.post(CHAT, json={"model": MODEL, "messages": [USER], "response_format": wanted})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_json_schema")


async def test_response_has_text_and_usage(client: httpx2.AsyncClient) -> None:
    parts = [{"role": "user", "content": [{"type": "input_text", "text": "Is it late?"}]}]
    response = await post_chat(client, "/responses", input=parts)
    (item,) = response["output"]
    text = item["content"][0]["text"]
    assert text == (await post_chat(client))["choices"][0]["message"]["content"]
    assert (response["status"], response["store"]) == ("completed", False)
    told = await post_chat(client, "/responses", instructions="Be brief.")
    assert told["output"][0]["content"][0]["text"] != text

    events = await stream(client, "/responses", max_output_tokens=16)
    assert [name for name, _ in events] == [data["type"] for _, data in events]
    assert [data["sequence_number"] for _, data in events] == list(range(len(events)))
    deltas = [data["delta"] for name, data in events if name == "response.output_text.delta"]
    assert text.startswith("".join(deltas))
    assert (events[0][0], events[-1][0]) == ("response.created", f"response.{events[-1][1]['response']['status']}")


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"input": []}, "input"),
        ({"input": [{"type": "function_call_output"}]}, "input[0]"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input[0]"),
        ({"max_output_tokens": 3}, "max_output_tokens"),
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"tools": [{"type": "web_search"}]}, "tools"),
        ({"store": True}, "store"),
        ({"messages": [USER]}, "messages"),
        ({"model": None}, "model"),
    ],
)
async def test_unsupported_response_is_refused(
    client: httpx2.AsyncClient, options: dict[str, Any], param: str
) -> None:
    answer = await client.post("/responses", json={"model": MODEL, "input": "Hello"} | options)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


ODD: list[Any] = [None, 7, -0.5, "x", "", True, [], [[]], [{}], {}, {"a": [[]]}, [{"type": [], "role": {}}], 1e400]
FIELDS = ("type", "role", "content", "tool_call_id", "tool_calls", "name", "schema", "function", "json_schema")
KEYWORDS = [
    "$ref",
    "enum",
    "anyOf",
    "allOf",
    "type",
    "properties",
    "required",
    "items",
    "minItems",
    "format",
    "maxLength",
    "minimum",
    "multipleOf",
]


@pytest.mark.parametrize("path", [CHAT, "/responses"])
async def test_odd_values_are_refused_without_a_failure(client: httpx2.AsyncClient, path: str) -> None:
    """The application's own failures are raised here, not answered with 500."""
    body: dict[str, Any] = {"model": MODEL} | ({"messages": [USER]} if path == CHAT else {"input": "Hello"})
    called = {"role": "assistant", "tool_calls": [{"id": "a"}]}
    for odd in ODD:
        bodies = [body | {name: odd} for name in sorted(CHAT_PARAMETERS | RESPONSE_PARAMETERS)]
        for name in FIELDS:
            bodies += [
                body | {"messages": [USER | {name: odd}, called | {name: odd}]},
                body | {"input": [{name: odd}]},
            ]
            bodies += [
                body | {"response_format": {"type": "json_schema", name: odd}},
                body | {"text": {"format": odd}},
            ]
            bodies += [body | {"tools": [TOOL | {name: odd}]}, body | {"tools": [TOOL], "tool_choice": {name: odd}}]
        for keyword in KEYWORDS:
            schemas = [{keyword: odd}, {"type": "integer", keyword: odd}, {"type": "number", keyword: odd}]
            for schema in schemas:
                told = {"name": "x", "schema": schema}
                bodies.append(body | {"response_format": {"type": "json_schema", "json_schema": told}})
                bodies.append(body | {"text": {"format": {"type": "json_schema"} | told}})
        for sent in bodies:
            answer = await client.post(path, content=json.dumps(sent))
            assert answer.status_code in (200, 400, 404), sent
            if answer.status_code == 200 and answer.headers["content-type"] == "application/json":
                json.loads(answer.text, parse_constant=pytest.fail)


async def test_a_stream_may_be_cut_in_its_middle() -> None:
    received = b""
    async with (
        serving(SandboxSettings(faults=(Fault("truncate", operations=("chat.create",)),))) as url,
        httpx2.AsyncClient(headers={"authorization": "Bearer sandbox-acme"}) as client,
        client.stream("POST", f"{url}/v1{CHAT}", json={"model": MODEL, "messages": [USER], "stream": True}) as answer,
    ):
        with pytest.raises(httpx2.RemoteProtocolError):  # noqa: PT012 - the error ends the loop
            async for chunk in answer.aiter_bytes():
                received += chunk
    assert received.startswith(b"data: {")
    assert b"[DONE]" not in received
