"""The shape of OpenAI's chat completions, with the differences of the servers that have the same shape, as data.

Source: OpenAI's API reference; the SDKs of Together and Fireworks; the documentation of the other servers.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from statistics import fmean
from typing import Any, Final

import msgspec

from orchestrator.core.comparison.answer import AnswerOutcome
from orchestrator.core.errors import RequestRejected
from orchestrator.core.inference import ChatQuestion, ChatReply, ModelAddress, OptionalParameter
from orchestrator.core.structs import Struct, field
from orchestrator.providers.chat.refused_parameters import ASK_TIMEOUT_SECONDS, ask_without_refused
from orchestrator.providers.chat.reply_text import clean_text, derive_outcome
from orchestrator.providers.http.api_client import ApiClient
from orchestrator.providers.http.client import encode_base_url
from orchestrator.providers.http.response_decoder import (
    count_or_none,
    name_or_none,
    number_or_none,
)
from orchestrator.providers.http.status_errors import parse_request_id

CHAT_PATH: Final = "/chat/completions"
_STOPPED_BY_LIMIT: Final = frozenset({"length", "max_tokens"})
_FILTERED: Final = frozenset({"content_filter", "content_filtered", "safety"})


class OpenAIChatStyle(Struct, frozen=True, kw_only=True):
    """How a server's chat completions differ from OpenAI's."""

    output_limit: str = "max_tokens"  # name of the field for the maximum of output tokens
    other_output_limit: str | None = None  # name that newer models take instead
    integer_logprobs: bool = False  # `logprobs` is the number of alternatives, not a flag
    max_top_logprobs: int = 20
    min_temperature: float = 0.0
    has_context_behavior: bool = False  # whether the server shortens prompts and answers unless told to fail
    has_routing_key: bool = False  # whether calls with the same key go to the same replica
    thinking_off: Mapping[str, Any] = field(default_factory=dict)  # fields that switch thinking off
    prompt_filter_codes: frozenset[str] = frozenset({"content_filter", "content_policy_violation"})


OPENAI_CHAT: Final = OpenAIChatStyle(output_limit="max_completion_tokens", other_output_limit="max_tokens")
COMPATIBLE_CHAT: Final = OpenAIChatStyle(other_output_limit="max_completion_tokens")
TOGETHER_CHAT: Final = OpenAIChatStyle(integer_logprobs=True, has_context_behavior=True, has_routing_key=True)
FIREWORKS_CHAT: Final = OpenAIChatStyle(max_top_logprobs=5, has_context_behavior=True, has_routing_key=True)
DASHSCOPE_CHAT: Final = OpenAIChatStyle(
    max_top_logprobs=5,
    min_temperature=0.01,  # some of its models refuse 0
    thinking_off={"enable_thinking": False},
    prompt_filter_codes=frozenset({"content_filter", "DataInspectionFailed", "data_inspection_failed"}),
)


def list_sent_parameters(question: ChatQuestion, style: OpenAIChatStyle) -> list[OptionalParameter]:
    """List the optional parameters that a question to this server has."""
    has = {
        OptionalParameter.OUTPUT_LIMIT: style.other_output_limit is not None,
        OptionalParameter.LOGPROBS: question.top_logprobs > 0,
        OptionalParameter.CONTEXT_BEHAVIOR: style.has_context_behavior,
        OptionalParameter.THINKING: bool(style.thinking_off),
        OptionalParameter.SEED: question.seed is not None,
    }
    return [each for each in OptionalParameter if has.get(each, True)]


def build_chat_body(
    address: ModelAddress, question: ChatQuestion, style: OpenAIChatStyle, left_out: frozenset[OptionalParameter]
) -> dict[str, Any]:
    """Build the body of POST /chat/completions."""
    body: dict[str, Any] = {"model": address.model, "messages": list(question.messages), "stream": False}
    other_limit = style.other_output_limit if OptionalParameter.OUTPUT_LIMIT in left_out else None
    body[other_limit or style.output_limit] = question.max_output_tokens
    if OptionalParameter.TEMPERATURE not in left_out:
        body["temperature"] = max(question.temperature, style.min_temperature)
    if OptionalParameter.TOP_P not in left_out:
        body["top_p"] = 1
    if OptionalParameter.PENALTIES not in left_out:
        body |= {"presence_penalty": 0, "frequency_penalty": 0}
    if question.seed is not None and OptionalParameter.SEED not in left_out:
        body["seed"] = question.seed
    if question.top_logprobs and OptionalParameter.LOGPROBS not in left_out:
        count = min(question.top_logprobs, style.max_top_logprobs)
        body |= {"logprobs": count} if style.integer_logprobs else {"logprobs": True, "top_logprobs": count}
    if style.has_context_behavior and OptionalParameter.CONTEXT_BEHAVIOR not in left_out:
        body["context_length_exceeded_behavior"] = "error"
    if style.thinking_off and OptionalParameter.THINKING not in left_out:
        body |= style.thinking_off
    if style.has_routing_key and question.routing_key:
        body["user"] = question.routing_key
    return body


class CompletionMessage(msgspec.Struct):
    """The message of a choice."""

    content: Any = None
    refusal: Any = None


class CompletionChoice(msgspec.Struct):
    """One answer."""

    message: CompletionMessage
    finish_reason: Any = None
    logprobs: Any = None


class CompletionUsage(msgspec.Struct):
    """The number of tokens, as billed."""

    prompt_tokens: Any = None
    completion_tokens: Any = None


class ChatCompletion(msgspec.Struct):
    """The response to POST /chat/completions. Without a choice, as an error with status 200, it is no answer."""

    choices: list[CompletionChoice]
    usage: CompletionUsage | None = None
    system_fingerprint: Any = None

    def __post_init__(self) -> None:
        if not self.choices:
            raise ValueError("it has no choice")


CHAT_DECODER: Final = msgspec.json.Decoder(ChatCompletion, strict=False)


def parse_chat_completion(
    completion: ChatCompletion, *, request_id: str | None, left_out: frozenset[OptionalParameter]
) -> ChatReply:
    """Convert a completion to a reply."""
    choice = completion.choices[0]
    reason = name_or_none(choice.finish_reason)
    text, refusal = clean_text(choice.message.content), clean_text(choice.message.refusal)
    outcome = derive_outcome(text, is_truncated=reason in _STOPPED_BY_LIMIT, is_filtered=reason in _FILTERED)
    if refusal and not text:
        text, outcome = refusal, AnswerOutcome.REFUSED_TEXT
    usage = completion.usage or CompletionUsage()
    return ChatReply(
        outcome=outcome,
        text=text,
        prompt_tokens=count_or_none(usage.prompt_tokens),
        output_tokens=count_or_none(usage.completion_tokens),
        finish_reason=reason,
        served_as=name_or_none(completion.system_fingerprint),
        request_id=request_id,
        mean_logprob=calculate_mean_logprob(choice.logprobs),
        left_out=left_out,
    )


async def ask_openai_model(
    client: ApiClient,
    address: ModelAddress,
    question: ChatQuestion,
    style: OpenAIChatStyle,
    left_out: frozenset[OptionalParameter] | None,
) -> ChatReply:
    """Ask a model; `left_out` is None for the first question to it. Raises ProviderError."""

    async def ask_once(without: frozenset[OptionalParameter]) -> ChatReply:
        try:
            async with client.read_call(ASK_TIMEOUT_SECONDS):
                response = await client.post_to(
                    encode_base_url(address.base_url) + CHAT_PATH,
                    build_chat_body(address, question, style, without),
                    timeout_seconds=ASK_TIMEOUT_SECONDS,
                )
                completion = client.decode(CHAT_DECODER, response.content, CHAT_PATH)
                request_id = parse_request_id(response.headers)
                return parse_chat_completion(completion, request_id=request_id, left_out=without)
        except RequestRejected as error:
            if error.code not in style.prompt_filter_codes:
                raise
            outcome = AnswerOutcome.FILTERED_PROMPT
            return ChatReply(outcome=outcome, request_id=error.request_id, left_out=without)

    if left_out is not None:
        return await ask_once(left_out)
    return await ask_without_refused(ask_once, list_sent_parameters(question, style))


def calculate_mean_logprob(logprobs: object) -> float | None:
    """Return the mean log-probability of the answer's tokens, from OpenAI's list or from Together's two lists."""
    if not isinstance(logprobs, dict):
        return None
    entries = logprobs.get("content")
    values = (
        [entry.get("logprob") if isinstance(entry, dict) else None for entry in entries]
        if isinstance(entries, list)
        else logprobs.get("token_logprobs")
    )
    if not isinstance(values, list):
        return None
    numbers = [number for value in values if (number := number_or_none(value)) is not None and isfinite(number)]
    return fmean(numbers) if numbers else None
