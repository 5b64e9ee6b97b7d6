"""Validation of `POST /v1/chat/completions`. Every parameter is either supported or refused, never ignored."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from orchestrator.sandbox.response import bad_request
from orchestrator.sandbox.simulation.answer_generation import Prompt
from orchestrator.sandbox.validation.value_checks import (
    IS_BOOLEAN,
    IS_FALSE,
    IS_OBJECT,
    IS_STRING,
    get_model_name,
    integer_between,
    number_between,
    one_of,
    reject_unknown_parameters,
    validate_values,
)

JsonBody = Mapping[str, Any]
ROLES = {"system", "developer", "user", "assistant", "tool", "function"}
MAX_STOP_SEQUENCES = 4
MAX_TOOLS = 128
FUNCTION_NAME_PATTERN = re.compile(r"[A-Za-z0-9_-]{1,64}")
SAMPLING_PARAMETERS = {
    "temperature": number_between(0, 2),
    "top_p": number_between(0, 1),
    "frequency_penalty": number_between(-2, 2),
    "presence_penalty": number_between(-2, 2),
    "seed": integer_between(-(2**63), 2**63 - 1),
    "user": IS_STRING,
    "metadata": IS_OBJECT,
    "service_tier": one_of("auto", "default"),
    "reasoning_effort": one_of("none", "minimal", "low", "medium", "high", "xhigh"),
    "verbosity": one_of("low", "medium", "high"),
    "prompt_cache_key": IS_STRING,
    "prompt_cache_retention": IS_STRING,
    "safety_identifier": IS_STRING,
    "parallel_tool_calls": IS_BOOLEAN,
    "store": IS_FALSE,
}
"""Parameters that are validated but have no effect on the answers of these models."""
OUTPUT_PARAMETERS = {
    "n": integer_between(1, 128),
    "max_tokens": integer_between(1),
    "max_completion_tokens": integer_between(1),
    "stream": IS_BOOLEAN,
    "stream_options": IS_OBJECT,
    "logprobs": IS_BOOLEAN,
    "top_logprobs": integer_between(0, 20),
    "response_format": IS_OBJECT,
    "modalities": ('["text"]', lambda value: value == ["text"]),
}
CHAT_PARAMETERS = {*SAMPLING_PARAMETERS, *OUTPUT_PARAMETERS, "model", "messages", "stop", "tools", "tool_choice"}
UNSUPPORTED_CHAT_PARAMETERS = {
    "audio",
    "function_call",
    "functions",
    "logit_bias",
    "prediction",
    "web_search_options",
}


class ChatRequest(Struct, frozen=True):
    """A request with a valid form. Whether its model exists is checked later."""

    model: str
    prompt: Prompt
    choice_count: int
    logprobs: int | None
    """Number of alternatives per token; None: no log probabilities."""
    stream: bool
    include_usage: bool


def parse_chat_request(body: JsonBody) -> ChatRequest:
    """Parse and validate a request. Raises SandboxApiError (400) for the first problem."""
    model = get_model_name(body)
    reject_unknown_parameters(body, CHAT_PARAMETERS, UNSUPPORTED_CHAT_PARAMETERS)
    validate_values(body, SAMPLING_PARAMETERS | OUTPUT_PARAMETERS)
    messages = validate_messages(body.get("messages"))
    tools = _parse_tools(body.get("tools") or [])
    stream = bool(body.get("stream"))
    prompt = Prompt(
        messages=messages,
        max_tokens=_parse_max_tokens(body),
        stop=_parse_stop(body.get("stop")),
        schema=parse_response_format(body.get("response_format"), "response_format", messages),
        tools=tools,
        tool_choice=_parse_tool_choice(body.get("tool_choice"), tools),
    )
    return ChatRequest(
        model, prompt, int(body.get("n") or 1), _parse_logprobs(body), stream, _parse_include_usage(body, stream)
    )


def validate_messages(messages: Any) -> list[dict[str, Any]]:
    """Validate messages: each tool message must answer an earlier call. Raises SandboxApiError (400)."""
    if not isinstance(messages, list) or not messages:
        raise bad_request("Invalid 'messages': expected a list of messages with role and content.", "messages")
    calls: list[Any] = []
    for index, message in enumerate(messages):
        problem = _find_message_problem(message, calls)
        if problem:
            raise bad_request(f"Invalid 'messages[{index}]': {problem}.", f"messages.[{index}]")
        new_calls = message.get("tool_calls")
        if isinstance(new_calls, list):
            calls += [call.get("id") for call in new_calls if isinstance(call, dict)]
    return messages


def parse_response_format(value: Any, param: str, messages: list[dict[str, Any]]) -> Mapping[str, Any] | None:
    """Return the JSON Schema of the answer, or None for free text. Raises SandboxApiError (400)."""
    kind = value.get("type") if isinstance(value, dict) else "text" if value is None else None
    if kind == "text":
        return None
    if kind == "json_object":
        if "json" not in str(messages).lower():
            message = "'messages' must contain the word 'json' in some form, to use"
            raise bad_request(f"{message} '{param}' of type 'json_object'.", "messages", None)
        return {"type": "object", "required": ["answer"]}
    definition = value.get("json_schema", value) if kind == "json_schema" else None
    if (
        not isinstance(definition, dict)
        or not isinstance(definition.get("name"), str)
        or not isinstance(definition.get("schema"), dict)
    ):
        expected = "type 'text', 'json_object', or 'json_schema' with a name and a schema"
        raise bad_request(f"Invalid '{param}': expected {expected}.", param)
    schema: Mapping[str, Any] = definition["schema"]
    return schema


def _find_message_problem(message: Any, calls: list[Any]) -> str | None:
    if not isinstance(message, dict) or str(message.get("role")) not in ROLES:
        return f"expected an object with a role of {', '.join(sorted(ROLES))}"
    content = message.get("content")
    if content is None:
        has_substitute = message["role"] == "assistant" and (message.get("tool_calls") or message.get("refusal"))
        return None if has_substitute else "content is missing"
    if isinstance(content, list):
        if not content or not all(isinstance(part, dict) and isinstance(part.get("type"), str) for part in content):
            return "expected a list of content parts with a type"
    elif not isinstance(content, str):
        return "content must be a string or a list of content parts"
    if message["role"] == "tool" and message.get("tool_call_id") not in calls:
        return "messages with role 'tool' must be a response to a preceding message with 'tool_calls'"
    return None


def _parse_max_tokens(body: JsonBody) -> int | None:
    names = [name for name in ("max_tokens", "max_completion_tokens") if body.get(name) is not None]
    if len(names) > 1:
        raise bad_request("Set either 'max_tokens' or 'max_completion_tokens', not both.", "max_tokens")
    return int(body[names[0]]) if names else None


def _parse_stop(stop: Any) -> tuple[str, ...]:
    stops = [stop] if isinstance(stop, str) else [] if stop is None else stop
    if (
        not isinstance(stops, list)
        or len(stops) > MAX_STOP_SEQUENCES
        or not all(isinstance(s, str) and s for s in stops)
    ):
        raise bad_request(
            f"Invalid 'stop': expected a string or a list of at most {MAX_STOP_SEQUENCES} strings.", "stop"
        )
    return tuple(stops)


def _parse_logprobs(body: JsonBody) -> int | None:
    alternatives = body.get("top_logprobs")
    if not body.get("logprobs"):
        if alternatives is not None:
            raise bad_request("Invalid 'top_logprobs': it needs 'logprobs' to be true.", "top_logprobs")
        return None
    return int(alternatives or 0)


def _parse_include_usage(body: JsonBody, stream: bool) -> bool:
    options = body.get("stream_options")
    if options is None:
        return False
    if not stream:
        raise bad_request(
            "The 'stream_options' parameter is only allowed when 'stream' is enabled.", "stream_options"
        )
    for name, value in options.items():
        if name not in ("include_usage", "include_obfuscation") or not isinstance(value, bool):
            where = f"stream_options.{name}"
            raise bad_request(f"Invalid '{where}': expected include_usage, true or false.", where)
    if options.get("include_obfuscation"):
        where = "stream_options.include_obfuscation"
        raise bad_request(f"Unsupported parameter: '{where}'.", where, "unsupported_parameter")
    return bool(options.get("include_usage"))


def _parse_tools(tools: Any) -> tuple[dict[str, Any], ...]:
    if not isinstance(tools, list) or len(tools) > MAX_TOOLS:
        raise bad_request(f"Invalid 'tools': expected a list of at most {MAX_TOOLS} tools.", "tools")
    for index, tool in enumerate(tools):
        function = tool.get("function") if isinstance(tool, dict) and tool.get("type") == "function" else None
        name = function.get("name") if isinstance(function, dict) else None
        if not isinstance(name, str) or not FUNCTION_NAME_PATTERN.fullmatch(name):
            where = f"tools[{index}]"
            raise bad_request(f"Invalid '{where}': expected type 'function' and a function with a name.", where)
    return tuple(tool["function"] for tool in tools)


def _parse_tool_choice(choice: Any, tools: tuple[dict[str, Any], ...]) -> str:
    if choice is None or (choice in ("none", "auto") and not tools):
        return "auto"
    if not tools:
        raise bad_request("Invalid 'tool_choice': it is only allowed when 'tools' are given.", "tool_choice")
    if choice in ("none", "auto", "required"):
        return str(choice)
    function = choice.get("function") if isinstance(choice, dict) and choice.get("type") == "function" else None
    name = function.get("name") if isinstance(function, dict) else None
    if name not in [tool["name"] for tool in tools]:
        raise bad_request(
            "Invalid 'tool_choice': expected none, auto, required or a function of 'tools'.", "tool_choice"
        )
    return f"={name}"
