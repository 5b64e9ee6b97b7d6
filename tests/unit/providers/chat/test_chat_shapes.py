"""The three shapes of chat APIs: what is sent, and how replies are read."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from orchestrator.core.comparison.answer import AnswerOutcome
from orchestrator.core.inference import ChatQuestion, ChatReply, ModelAddress, OptionalParameter
from orchestrator.providers.chat import converse_chat, gemini_chat, openai_chat
from orchestrator.providers.chat.openai_chat import (
    COMPATIBLE_CHAT,
    DASHSCOPE_CHAT,
    FIREWORKS_CHAT,
    OPENAI_CHAT,
    TOGETHER_CHAT,
    OpenAIChatStyle,
)

NOTHING: frozenset[OptionalParameter] = frozenset()
EVERYTHING = frozenset(OptionalParameter)
ADDRESS = ModelAddress(base_url="https://api.example/v1", model="ft:small:acme")
MESSAGES = (
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": "Is it late?"}]},
    {"role": "assistant", "content": "No."},
    {"role": "user", "content": "Why?"},
)
QUESTION = ChatQuestion(messages=MESSAGES, max_output_tokens=40, top_logprobs=9, routing_key="call-1")


def parse_openai(body: Any) -> ChatReply:
    completion = openai_chat.CHAT_DECODER.decode(json.dumps(body))
    return openai_chat.parse_chat_completion(completion, request_id="req-1", left_out=NOTHING)


def parse_converse(body: Any) -> ChatReply:
    response = converse_chat.CONVERSE_DECODER.decode(json.dumps(body))
    return converse_chat.parse_converse_response(response, request_id="req-1", left_out=NOTHING)


def parse_gemini(body: Any) -> ChatReply:
    response = gemini_chat.GEMINI_DECODER.decode(json.dumps(body))
    return gemini_chat.parse_generate_content_response(response, request_id="req-1", left_out=NOTHING)


@pytest.mark.parametrize(
    ("style", "expected"),
    [
        (OPENAI_CHAT, {"max_completion_tokens": 40, "logprobs": True, "top_logprobs": 9}),
        (COMPATIBLE_CHAT, {"max_tokens": 40, "logprobs": True, "top_logprobs": 9}),
        (
            TOGETHER_CHAT,
            {
                "max_tokens": 40,
                "logprobs": 9,
                "context_length_exceeded_behavior": "error",
                "user": "call-1",
            },
        ),
        (
            FIREWORKS_CHAT,
            {
                "max_tokens": 40,
                "logprobs": True,
                "top_logprobs": 5,
                "context_length_exceeded_behavior": "error",
                "user": "call-1",
            },
        ),
        (
            DASHSCOPE_CHAT,
            {
                "max_tokens": 40,
                "logprobs": True,
                "top_logprobs": 5,
                "enable_thinking": False,
                "temperature": 0.01,
            },
        ),
    ],
)
def test_body_of_each_style(style: OpenAIChatStyle, expected: dict[str, Any]) -> None:
    usual = {
        "model": "ft:small:acme",
        "messages": list(MESSAGES),
        "stream": False,
        "temperature": 0.0,
        "top_p": 1,
        "presence_penalty": 0,
        "frequency_penalty": 0,
        "seed": 0,
    }
    assert openai_chat.build_chat_body(ADDRESS, QUESTION, style, NOTHING) == usual | expected


@pytest.mark.parametrize("style", [OPENAI_CHAT, COMPATIBLE_CHAT, TOGETHER_CHAT, FIREWORKS_CHAT, DASHSCOPE_CHAT])
def test_each_sent_parameter_can_be_left_out(style: OpenAIChatStyle) -> None:
    whole = openai_chat.build_chat_body(ADDRESS, QUESTION, style, NOTHING)
    for parameter in openai_chat.list_sent_parameters(QUESTION, style):
        assert openai_chat.build_chat_body(ADDRESS, QUESTION, style, frozenset({parameter})) != whole, parameter
    kept = {"model", "messages", "stream", "user", "max_tokens", "max_completion_tokens"}
    assert openai_chat.build_chat_body(ADDRESS, QUESTION, style, EVERYTHING).keys() <= kept


def test_other_name_of_the_output_limit() -> None:
    body = openai_chat.build_chat_body(ADDRESS, QUESTION, OPENAI_CHAT, frozenset({OptionalParameter.OUTPUT_LIMIT}))
    assert body["max_tokens"] == 40
    assert "max_completion_tokens" not in body


def test_converse_body() -> None:
    assert converse_chat.build_converse_body(QUESTION, NOTHING) == {
        "system": [{"text": "Be brief."}],
        "messages": [
            {"role": "user", "content": [{"text": "Is it late?"}]},
            {"role": "assistant", "content": [{"text": "No."}]},
            {"role": "user", "content": [{"text": "Why?"}]},
        ],
        "inferenceConfig": {"maxTokens": 40, "temperature": 0.0, "topP": 1},
    }
    assert converse_chat.build_converse_body(QUESTION, EVERYTHING)["inferenceConfig"] == {"maxTokens": 40}


def test_generate_content_body() -> None:
    assert gemini_chat.build_generate_content_body(QUESTION, NOTHING) == {
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "contents": [
            {"role": "user", "parts": [{"text": "Is it late?"}]},
            {"role": "model", "parts": [{"text": "No."}]},
            {"role": "user", "parts": [{"text": "Why?"}]},
        ],
        "generationConfig": {
            "maxOutputTokens": 40,
            "candidateCount": 1,
            "temperature": 0.0,
            "topP": 1,
            "presencePenalty": 0,
            "frequencyPenalty": 0,
            "seed": 0,
            "responseLogprobs": True,
            "logprobs": 9,
            "thinkingConfig": {"thinkingBudget": 0},
        },
    }
    kept = gemini_chat.build_generate_content_body(QUESTION, EVERYTHING)["generationConfig"]
    assert kept == {"maxOutputTokens": 40, "candidateCount": 1}
    whole = gemini_chat.build_generate_content_body(QUESTION, NOTHING)
    for parameter in gemini_chat.list_sent_parameters(QUESTION):
        assert gemini_chat.build_generate_content_body(QUESTION, frozenset({parameter})) != whole, parameter


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]},
        {"role": "assistant", "content": None, "tool_calls": []},
    ],
)
def test_message_without_text_is_refused_before_it_is_sent(message: dict[str, Any]) -> None:
    question = ChatQuestion(messages=[message], max_output_tokens=1)
    with pytest.raises(ValueError, match="not a plain text"):
        converse_chat.build_converse_body(question, NOTHING)
    with pytest.raises(ValueError, match="not a plain text"):
        gemini_chat.build_generate_content_body(question, NOTHING)


def completion(text: Any, reason: Any, **message: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": text} | message, "finish_reason": reason}
    return {"choices": [choice], "usage": {"prompt_tokens": 11, "completion_tokens": 2}}


@pytest.mark.parametrize(
    ("body", "outcome", "text"),
    [
        (completion("Yes.", "stop"), AnswerOutcome.ANSWERED, "Yes."),
        (completion("Yes.", "eos"), AnswerOutcome.ANSWERED, "Yes."),
        (completion("Yes and", "length"), AnswerOutcome.TRUNCATED, "Yes and"),
        (completion("", "length"), AnswerOutcome.TRUNCATED, ""),
        (completion("Some", "content_filter"), AnswerOutcome.FILTERED_ANSWER, "Some"),
        (completion(None, "content_filter"), AnswerOutcome.FILTERED_ANSWER, ""),
        (completion(" ", "stop"), AnswerOutcome.EMPTY, " "),
        (completion(None, "stop"), AnswerOutcome.EMPTY, ""),
        (completion("I can’t help with that.", "stop"), AnswerOutcome.REFUSED_TEXT, "I can’t help with that."),
        (completion(None, "stop", refusal="I must not."), AnswerOutcome.REFUSED_TEXT, "I must not."),
        (completion("a\0b", None), AnswerOutcome.ANSWERED, "ab"),
    ],
)
def test_outcomes_of_a_completion(body: dict[str, Any], outcome: AnswerOutcome, text: str) -> None:
    reply = parse_openai(body)
    assert (reply.outcome, reply.text, reply.prompt_tokens, reply.output_tokens) == (outcome, text, 11, 2)
    assert reply.request_id == "req-1"
    assert reply.to_answer().outcome is outcome


def test_completion_without_a_choice_is_malformed() -> None:
    with pytest.raises(ValueError, match="no choice"):
        parse_openai({"choices": []})


@pytest.mark.parametrize(
    ("logprobs", "mean"),
    [
        ({"content": [{"token": "a", "logprob": -1.0}, {"token": "b", "logprob": -2.0}]}, -1.5),
        ({"tokens": ["a", "b"], "token_logprobs": [-1.0, None]}, -1.0),
        ({"content": []}, None),
        ({"content": ["x", {"logprob": "y"}]}, None),
        ({}, None),
        ([], None),
        (None, None),
    ],
)
def test_mean_logprob(logprobs: Any, mean: float | None) -> None:
    body = completion("Yes.", "stop")
    body["choices"][0]["logprobs"] = logprobs
    assert parse_openai(body).mean_logprob == mean


@pytest.mark.parametrize(
    ("reason", "texts", "outcome"),
    [
        ("end_turn", ["Yes.", " Sure."], AnswerOutcome.ANSWERED),
        ("max_tokens", ["Yes"], AnswerOutcome.TRUNCATED),
        ("model_context_window_exceeded", ["Yes"], AnswerOutcome.TRUNCATED),
        ("guardrail_intervened", ["Blocked."], AnswerOutcome.FILTERED_ANSWER),
        ("content_filtered", [], AnswerOutcome.FILTERED_ANSWER),
        ("end_turn", [], AnswerOutcome.EMPTY),
        ("end_turn", ["I am not able to answer."], AnswerOutcome.REFUSED_TEXT),
    ],
)
def test_outcomes_of_converse(reason: str, texts: list[str], outcome: AnswerOutcome) -> None:
    parts: list[dict[str, Any]] = [{"reasoningContent": {}}, *({"text": text} for text in texts)]
    reply = parse_converse(
        {
            "output": {"message": {"role": "assistant", "content": parts}},
            "stopReason": reason,
            "usage": {"inputTokens": 11, "outputTokens": 2},
        }
    )
    assert (reply.outcome, reply.text) == (outcome, "".join(texts))
    assert (reply.prompt_tokens, reply.output_tokens, reply.finish_reason) == (11, 2, reason)
    assert OptionalParameter.SEED in reply.left_out


@pytest.mark.parametrize(
    ("reason", "texts", "outcome"),
    [
        ("STOP", ["Yes.", " Sure."], AnswerOutcome.ANSWERED),
        ("MAX_TOKENS", ["Yes"], AnswerOutcome.TRUNCATED),
        ("SAFETY", [], AnswerOutcome.FILTERED_ANSWER),
        ("RECITATION", ["Once"], AnswerOutcome.FILTERED_ANSWER),
        ("MALFORMED_FUNCTION_CALL", [], AnswerOutcome.EMPTY),
        ("STOP", [], AnswerOutcome.EMPTY),
    ],
)
def test_outcomes_of_generate_content(reason: str, texts: list[str], outcome: AnswerOutcome) -> None:
    parts: list[dict[str, Any]] = [{"text": "Hm.", "thought": True}, *({"text": text} for text in texts)]
    reply = parse_gemini(
        {
            "candidates": [
                {"content": {"role": "model", "parts": parts}, "finishReason": reason, "avgLogprobs": -0.5}
            ],
            "usageMetadata": {"promptTokenCount": 11, "candidatesTokenCount": 2, "thoughtsTokenCount": 3},
            "modelVersion": "gemini-small-001",
        }
    )
    assert (reply.outcome, reply.text) == (outcome, "".join(texts))
    assert (reply.prompt_tokens, reply.output_tokens) == (11, 5)
    assert (reply.served_as, reply.mean_logprob) == ("gemini-small-001", -0.5)


def test_blocked_prompt_of_gemini_is_a_reply() -> None:
    reply = parse_gemini({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}})
    assert (reply.outcome, reply.finish_reason) == (AnswerOutcome.FILTERED_PROMPT, "PROHIBITED_CONTENT")
    assert parse_gemini({"usageMetadata": {"promptTokenCount": 4}}).outcome is AnswerOutcome.EMPTY
    with pytest.raises(msgspec.ValidationError, match="neither candidates"):
        parse_gemini({"error": {}})
