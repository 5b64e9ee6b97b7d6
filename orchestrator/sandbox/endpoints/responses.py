"""The responses endpoint for text: input, instructions, output limit, output format, JSON or stream.

Tools, stored conversations and background responses are refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from uuid import uuid4

from orchestrator.sandbox.api_call import ApiCall
from orchestrator.sandbox.response import ApiResponse, EventStream, bad_request
from orchestrator.sandbox.simulation.answer_generation import (
    GeneratedAnswer,
    Prompt,
    count_prompt_tokens,
    generate_answer,
    get_model_origin,
)
from orchestrator.sandbox.validation.chat_request import SAMPLING_PARAMETERS, parse_response_format, validate_messages
from orchestrator.sandbox.validation.value_checks import (
    IS_BOOLEAN,
    IS_OBJECT,
    IS_STRING,
    get_model_name,
    integer_between,
    one_of,
    reject_unknown_parameters,
    validate_values,
)

SHARED_PARAMETERS = (
    "temperature",
    "top_p",
    "metadata",
    "parallel_tool_calls",
    "prompt_cache_key",
    "prompt_cache_retention",
    "safety_identifier",
    "service_tier",
    "store",
    "user",
)
PARAMETER_CHECKS = {
    **{name: SAMPLING_PARAMETERS[name] for name in SHARED_PARAMETERS},
    "reasoning": IS_OBJECT,
    "tool_choice": one_of("none", "auto"),
    "truncation": one_of("disabled"),
    "instructions": IS_STRING,
    "max_output_tokens": integer_between(16),
    "stream": IS_BOOLEAN,
    "text": IS_OBJECT,
}
RESPONSE_PARAMETERS = {*PARAMETER_CHECKS, "model", "input"}
UNSUPPORTED_RESPONSE_PARAMETERS = {
    "background",
    "conversation",
    "include",
    "max_tool_calls",
    "previous_response_id",
    "prompt",
    "stream_options",
    "tools",
    "top_logprobs",
}
TEXT_PART_TYPES = {"input_text", "output_text"}
ResponseEvent = tuple[str, dict[str, Any]]


async def create_response(call: ApiCall) -> ApiResponse:
    """Handle POST /v1/responses."""
    body = await call.parse_json_body()
    model = get_model_name(body)
    reject_unknown_parameters(body, RESPONSE_PARAMETERS, UNSUPPORTED_RESPONSE_PARAMETERS)
    validate_values(body, PARAMETER_CHECKS)
    messages = _parse_messages(body)
    prompt = Prompt(
        messages=messages,
        max_tokens=None if body.get("max_output_tokens") is None else int(body["max_output_tokens"]),
        schema=parse_response_format((body.get("text") or {}).get("format"), "text.format", messages),
        schema_param="text.format",
    )
    answer = generate_answer(get_model_origin(call, model), prompt)
    response = _build_response(body, messages, answer, int(call.now))
    if body.get("stream"):
        events = enumerate(_build_events(response, answer))
        numbered = ((kind, {"type": kind, "sequence_number": number} | event) for number, (kind, event) in events)
        return ApiResponse(EventStream.from_events(numbered))
    return ApiResponse(response)


def _parse_messages(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Parse the input into messages of chat completions. Raises SandboxApiError (400)."""
    value = body.get("input")
    items = [{"role": "user", "content": value}] if isinstance(value, str) else value
    if not isinstance(items, list) or not items:
        raise bad_request("Invalid 'input': expected a string or a list of messages.", "input")
    messages = [_parse_message(item, index) for index, item in enumerate(items)]
    if body.get("instructions"):
        messages.insert(0, {"role": "developer", "content": body["instructions"]})
    return validate_messages(messages)


def _parse_message(item: Any, index: int) -> dict[str, Any]:
    name = f"input[{index}]"
    if not isinstance(item, dict) or item.get("type", "message") != "message":
        raise bad_request(f"Invalid '{name}': expected a message.", name, "unsupported_value")
    content = item.get("content")
    if isinstance(content, list):
        if not all(isinstance(part, dict) and str(part.get("type")) in TEXT_PART_TYPES for part in content):
            raise bad_request(f"Invalid '{name}.content': expected input_text parts.", name, "unsupported_value")
        content = "".join(str(part.get("text", "")) for part in content)
    return {"role": item.get("role"), "content": content}


def _build_response(
    body: Mapping[str, Any], messages: list[dict[str, Any]], answer: GeneratedAnswer, now: int
) -> dict[str, Any]:
    completed = answer.finish_reason == "stop"
    input_tokens, output_tokens = count_prompt_tokens(messages), len(answer.tokens)
    return {
        "id": f"resp_{uuid4().hex}",
        "object": "response",
        "created_at": now,
        "status": "completed" if completed else "incomplete",
        "error": None,
        "incomplete_details": None if completed else {"reason": "max_output_tokens"},
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "metadata": body.get("metadata") or {},
        "model": body["model"],
        "output": [_build_item(answer.text, "completed" if completed else "incomplete")],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "store": False,
        "temperature": body.get("temperature"),
        "text": {"format": (body.get("text") or {}).get("format") or {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": body.get("top_p"),
        "truncation": "disabled",
        "usage": {
            "input_tokens": input_tokens,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": output_tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": input_tokens + output_tokens,
        },
    }


def _build_item(text: str, status: str) -> dict[str, Any]:
    return {
        "id": f"msg_{uuid4().hex}",
        "type": "message",
        "role": "assistant",
        "status": status,
        "content": [_build_part(text)],
    }


def _build_part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _build_events(response: dict[str, Any], answer: GeneratedAnswer) -> Iterator[ResponseEvent]:
    """Yield the events of the stream: the response starts, its message grows by tokens, then each level ends."""
    (item,) = response["output"]
    started = response | {"status": "in_progress", "output": [], "usage": None, "incomplete_details": None}
    yield "response.created", {"response": started}
    yield "response.in_progress", {"response": started}
    empty = item | {"status": "in_progress", "content": []}
    yield "response.output_item.added", {"output_index": 0, "item": empty}
    position = {"item_id": item["id"], "output_index": 0, "content_index": 0}
    yield "response.content_part.added", position | {"part": _build_part("")}
    for token in answer.tokens:
        yield "response.output_text.delta", position | {"delta": token, "logprobs": []}
    yield "response.output_text.done", position | {"text": answer.text, "logprobs": []}
    yield "response.content_part.done", position | {"part": _build_part(answer.text)}
    yield "response.output_item.done", {"output_index": 0, "item": item}
    yield f"response.{response['status']}", {"response": response}
