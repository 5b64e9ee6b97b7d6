"""Requests a prompt that ends with the reference answer, and the log-probabilities of its tokens.

Source: Together's Python SDK 3.1.1: `echo` with `logprobs` returns `prompt`, with the tokens and their
log-probabilities. How its chat template surrounds a last message of the assistant is not documented, so nothing is
assumed about it (`core/comparison/reference_loss.py`).
"""

from __future__ import annotations

from typing import Any

import msgspec

from orchestrator.core.comparison.reference_loss import EchoedToken, calculate_reference_logprob
from orchestrator.core.inference import ModelAddress, ReferenceQuestion, ReferenceScore
from orchestrator.providers.chat.openai_chat import CHAT_PATH, CompletionUsage
from orchestrator.providers.chat.refused_parameters import ASK_TIMEOUT_SECONDS
from orchestrator.providers.http.api_client import ApiClient
from orchestrator.providers.http.client import encode_base_url
from orchestrator.providers.http.response_decoder import count_or_none, number_or_none


class EchoedCompletion(msgspec.Struct):
    """The part of a response that repeats the prompt."""

    prompt: Any = None
    usage: CompletionUsage | None = None


ECHO_DECODER = msgspec.json.Decoder(EchoedCompletion, strict=False)


async def score_echoed_reference(
    client: ApiClient, address: ModelAddress, question: ReferenceQuestion
) -> ReferenceScore:
    """Score a reference answer with one call. Raises ProviderError."""
    body = {
        "model": address.model,
        "messages": [*question.messages, {"role": "assistant", "content": question.reference}],
        "stream": False,
        "max_tokens": 1,
        "temperature": 0,
        "echo": True,
        "logprobs": 1,
        "context_length_exceeded_behavior": "error",
    }
    async with client.read_call(ASK_TIMEOUT_SECONDS):
        url = encode_base_url(address.base_url) + CHAT_PATH
        response = await client.post_to(url, body, timeout_seconds=ASK_TIMEOUT_SECONDS)
        completion = client.decode(ECHO_DECODER, response.content, CHAT_PATH)
    tokens = parse_echoed_tokens(completion.prompt)
    usage = completion.usage or CompletionUsage()
    return ReferenceScore(
        is_reported=tokens is not None,
        mean_logprob=calculate_reference_logprob(tokens or [], question.reference, question.prompt_tokens),
        prompt_tokens=count_or_none(usage.prompt_tokens),
        output_tokens=count_or_none(usage.completion_tokens),
    )


def parse_echoed_tokens(prompt: object) -> list[EchoedToken] | None:
    """Parse the echoed prompt; None if it has no log-probabilities in the documented form."""
    if not isinstance(prompt, list) or len(prompt) != 1 or not isinstance(prompt[0], dict):
        return None
    logprobs = prompt[0].get("logprobs")
    if not isinstance(logprobs, dict):
        return None
    texts, values = logprobs.get("tokens"), logprobs.get("token_logprobs")
    if not isinstance(texts, list) or not isinstance(values, list) or not texts or len(texts) != len(values):
        return None
    if not all(isinstance(text, str) for text in texts):
        return None
    return [EchoedToken(text, number_or_none(value)) for text, value in zip(texts, values, strict=True)]
