"""The shape of Gemini's generateContent.

Source: `GenerateContentRequest` and `GenerateContentResponse` of google.cloud.aiplatform.v1. A field that has its
default value is missing in a response.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from orchestrator.core.comparison.answer import AnswerOutcome
from orchestrator.core.inference import ChatQuestion, ChatReply, OptionalParameter
from orchestrator.providers.chat.converse_chat import list_message_texts
from orchestrator.providers.chat.reply_text import clean_text, derive_outcome
from orchestrator.providers.http.response_decoder import count_or_none, name_or_none, number_or_none

_MAX_TOP_LOGPROBS: Final = 20
_UNSUPPORTED: Final = frozenset({OptionalParameter.CONTEXT_BEHAVIOR})
_ENDED: Final = frozenset({None, "STOP", "MAX_TOKENS", "FINISH_REASON_UNSPECIFIED"})


def list_sent_parameters(question: ChatQuestion) -> list[OptionalParameter]:
    """List the optional parameters that a question has."""
    missing = {OptionalParameter.OUTPUT_LIMIT, *_UNSUPPORTED}
    if not question.top_logprobs:
        missing.add(OptionalParameter.LOGPROBS)
    if question.seed is None:
        missing.add(OptionalParameter.SEED)
    return [each for each in OptionalParameter if each not in missing]


def build_generate_content_body(question: ChatQuestion, left_out: frozenset[OptionalParameter]) -> dict[str, Any]:
    """Build the body of POST …:generateContent. Raises ValueError for a message that has no text."""
    config: dict[str, Any] = {"maxOutputTokens": question.max_output_tokens, "candidateCount": 1}
    if OptionalParameter.TEMPERATURE not in left_out:
        config["temperature"] = question.temperature
    if OptionalParameter.TOP_P not in left_out:
        config["topP"] = 1
    if OptionalParameter.PENALTIES not in left_out:
        config |= {"presencePenalty": 0, "frequencyPenalty": 0}
    if question.seed is not None and OptionalParameter.SEED not in left_out:
        config["seed"] = question.seed
    if question.top_logprobs and OptionalParameter.LOGPROBS not in left_out:
        config |= {"responseLogprobs": True, "logprobs": min(question.top_logprobs, _MAX_TOP_LOGPROBS)}
    if OptionalParameter.THINKING not in left_out:
        config["thinkingConfig"] = {"thinkingBudget": 0}
    body: dict[str, Any] = {"contents": [], "generationConfig": config}
    for message in question.messages:
        parts = [{"text": text} for text in list_message_texts(message)]
        if message["role"] == "system":
            body.setdefault("systemInstruction", {"parts": []})["parts"].extend(parts)
        else:
            role = "model" if message["role"] == "assistant" else "user"
            body["contents"].append({"role": role, "parts": parts})
    return body


class GeminiContent(msgspec.Struct):
    """The content of a candidate."""

    parts: list[Any] = []


class GeminiCandidate(msgspec.Struct, rename="camel"):
    """One answer."""

    content: GeminiContent | None = None
    finish_reason: Any = None
    avg_logprobs: Any = None


class GeminiPromptFeedback(msgspec.Struct, rename="camel"):
    """Why a prompt was blocked."""

    block_reason: Any = None


class GeminiUsage(msgspec.Struct, rename="camel"):
    """The number of tokens, as billed."""

    prompt_token_count: Any = None
    candidates_token_count: Any = None
    thoughts_token_count: Any = None


class GeminiResponse(msgspec.Struct, rename="camel"):
    """The response to generateContent. Without any of its fields it is no response to it."""

    candidates: list[GeminiCandidate] = []
    prompt_feedback: GeminiPromptFeedback | None = None
    usage_metadata: GeminiUsage | None = None
    model_version: Any = None

    def __post_init__(self) -> None:
        if not self.candidates and self.prompt_feedback is None and self.usage_metadata is None:
            raise ValueError("the response has neither candidates nor a feedback about the prompt")


GEMINI_DECODER: Final = msgspec.json.Decoder(GeminiResponse)


def parse_generate_content_response(
    response: GeminiResponse, *, request_id: str | None, left_out: frozenset[OptionalParameter]
) -> ChatReply:
    """Convert a response to a reply."""
    usage = response.usage_metadata or GeminiUsage()
    counts = [count_or_none(usage.candidates_token_count), count_or_none(usage.thoughts_token_count)]
    output_tokens = sum(count or 0 for count in counts) if any(count is not None for count in counts) else None
    candidate = response.candidates[0] if response.candidates else None
    if candidate is None:
        feedback = response.prompt_feedback
        reason, text, outcome = name_or_none(feedback.block_reason) if feedback else None, "", AnswerOutcome.EMPTY
        if reason is not None:
            outcome = AnswerOutcome.FILTERED_PROMPT
    else:
        parts = candidate.content.parts if candidate.content else []
        shown = [part for part in parts if isinstance(part, dict) and part.get("thought") is not True]
        text, reason = "".join(clean_text(part.get("text")) for part in shown), name_or_none(candidate.finish_reason)
        is_filtered = reason not in _ENDED and not str(reason).startswith("MALFORMED")
        outcome = derive_outcome(text, is_truncated=reason == "MAX_TOKENS", is_filtered=is_filtered)
    return ChatReply(
        outcome=outcome,
        text=text,
        prompt_tokens=count_or_none(usage.prompt_token_count),
        output_tokens=output_tokens,
        finish_reason=reason,
        served_as=name_or_none(response.model_version),
        request_id=request_id,
        mean_logprob=number_or_none(candidate.avg_logprobs) if candidate else None,
        left_out=left_out | _UNSUPPORTED,
    )
