"""The shape of Bedrock's Converse operation. It has no seed, no log-probabilities and no penalties.

Source: the service model of bedrock-runtime in botocore.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from orchestrator.core.inference import ChatQuestion, ChatReply, OptionalParameter
from orchestrator.providers.chat.reply_text import clean_text, derive_outcome
from orchestrator.providers.http.response_decoder import count_or_none, name_or_none

SENT_PARAMETERS: Final = (OptionalParameter.TOP_P, OptionalParameter.TEMPERATURE)
UNSUPPORTED_PARAMETERS: Final = frozenset(
    {
        OptionalParameter.SEED,
        OptionalParameter.LOGPROBS,
        OptionalParameter.PENALTIES,
        OptionalParameter.CONTEXT_BEHAVIOR,
        OptionalParameter.THINKING,
    }
)
_STOPPED_BY_LIMIT: Final = frozenset({"max_tokens", "model_context_window_exceeded"})
_FILTERED: Final = frozenset({"guardrail_intervened", "content_filtered"})


def build_converse_body(question: ChatQuestion, left_out: frozenset[OptionalParameter]) -> dict[str, Any]:
    """Build the body of POST /model/{id}/converse. Raises ValueError for a message that has no text."""
    inference: dict[str, Any] = {"maxTokens": question.max_output_tokens}
    if OptionalParameter.TEMPERATURE not in left_out:
        inference["temperature"] = min(question.temperature, 1.0)
    if OptionalParameter.TOP_P not in left_out:
        inference["topP"] = 1
    body: dict[str, Any] = {"messages": [], "inferenceConfig": inference}
    for message in question.messages:
        parts = [{"text": text} for text in list_message_texts(message)]
        if message["role"] == "system":
            body.setdefault("system", []).extend(parts)
        else:
            body["messages"].append({"role": message["role"], "content": parts})
    return body


def list_message_texts(message: Mapping[str, Any]) -> Sequence[str]:
    """Return the texts of a message. Raises ValueError if it has another content, which no probe has."""
    content = message.get("content")
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    if not isinstance(parts, list) or any(part.get("type") != "text" for part in parts) or "tool_calls" in message:
        raise ValueError(f"a {message['role']} message is not a plain text, which this model cannot be asked with")
    return [part["text"] for part in parts]


class ConverseMessage(msgspec.Struct):
    """The message of the model."""

    content: list[Any] = []


class ConverseOutput(msgspec.Struct):
    """The output of the model."""

    message: ConverseMessage | None = None


class ConverseUsage(msgspec.Struct, rename="camel"):
    """The number of tokens, as billed."""

    input_tokens: Any = None
    output_tokens: Any = None


class ConverseResponse(msgspec.Struct, rename="camel"):
    """The response to Converse."""

    output: ConverseOutput
    stop_reason: Any = None
    usage: ConverseUsage | None = None


CONVERSE_DECODER: Final = msgspec.json.Decoder(ConverseResponse)


def parse_converse_response(
    response: ConverseResponse, *, request_id: str | None, left_out: frozenset[OptionalParameter]
) -> ChatReply:
    """Convert a response to a reply."""
    message = response.output.message
    parts = message.content if message else []
    text = "".join(clean_text(part.get("text")) for part in parts if isinstance(part, dict))
    reason = name_or_none(response.stop_reason)
    usage = response.usage or ConverseUsage()
    return ChatReply(
        outcome=derive_outcome(text, is_truncated=reason in _STOPPED_BY_LIMIT, is_filtered=reason in _FILTERED),
        text=text,
        prompt_tokens=count_or_none(usage.input_tokens),
        output_tokens=count_or_none(usage.output_tokens),
        finish_reason=reason,
        request_id=request_id,
        left_out=left_out | UNSUPPORTED_PARAMETERS,
    )
