"""The chat completions endpoint, with a JSON response or a stream of server-sent events."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import Any
from uuid import uuid4

from msgspec import Struct

from orchestrator.sandbox.api_call import ApiCall
from orchestrator.sandbox.response import ApiResponse, EventStream, bad_request
from orchestrator.sandbox.simulation.answer_behaviour import REFUSAL_TEXT, AnswerBehaviour
from orchestrator.sandbox.simulation.answer_generation import (
    GeneratedAnswer,
    build_logprobs,
    count_prompt_tokens,
    find_answer_origin,
    generate_answer,
    limit_answer,
)
from orchestrator.sandbox.validation.chat_request import ChatRequest, parse_chat_request


async def create_chat_completion(call: ApiCall) -> ApiResponse:
    """Handle POST /v1/chat/completions."""
    request = parse_chat_request(await call.parse_json_body())
    behaviour = call.state.get_answer_behaviour(call.account)
    origin = find_answer_origin(call, request.model, request.prompt, behaviour)
    if request.logprobs is not None and not behaviour.logprobs:
        raise bad_request("This model does not support 'logprobs'.", "logprobs", "unsupported_parameter")
    if behaviour.blocks(request.prompt.messages):
        raise bad_request("The prompt was blocked by the content filter.", "prompt", "content_filter")
    if behaviour.declines(request.prompt.messages):
        choices = [limit_answer(REFUSAL_TEXT, request.prompt)] * request.choice_count
    else:
        in_german = behaviour.uses_other_language(request.prompt.messages)
        choices = [
            generate_answer(origin, request.prompt, number, in_german=in_german)
            for number in range(request.choice_count)
        ]
    completion = _Completion(request, choices, behaviour, f"chatcmpl-{uuid4().hex[:24]}", int(call.now))
    if request.stream:
        return ApiResponse(EventStream.from_data(completion.to_chunks()))
    return ApiResponse(completion.to_json())


class _Completion(Struct, frozen=True):
    """One completion, in both forms: as JSON and as chunks of a stream."""

    request: ChatRequest
    choices: list[GeneratedAnswer]
    behaviour: AnswerBehaviour
    id: str
    created: int

    def to_json(self) -> dict[str, Any]:
        choices = [self._build_choice(number, choice) for number, choice in enumerate(self.choices)]
        return self._build_head("chat.completion") | {"choices": choices, "usage": self._build_usage()}

    def to_chunks(self) -> Iterator[Any]:
        """Yield for each choice its role, its tokens and its finish reason; then the usage if it was requested."""
        for number, choice in enumerate(self.choices):
            for delta, tokens in _build_deltas(choice, _build_call_id(self.id, number)):
                yield self._build_chunk(number, delta, self._build_logprobs(tokens), None)
            yield self._build_chunk(number, {}, None, choice.finish_reason)
        if self.request.include_usage:
            yield self._build_head("chat.completion.chunk") | {"choices": [], "usage": self._build_usage()}
        yield "[DONE]"

    def _build_choice(self, number: int, choice: GeneratedAnswer) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": choice.text, "refusal": None, "annotations": []}
        if choice.function is not None:
            call = {"id": _build_call_id(self.id, number), "type": "function"}
            function = {"name": choice.function, "arguments": choice.text}
            message |= {"content": None, "tool_calls": [call | {"function": function}]}
        logprobs = self._build_logprobs(choice.tokens if choice.function is None else [])
        return {"index": number, "message": message, "logprobs": logprobs, "finish_reason": choice.finish_reason}

    def _build_chunk(
        self, number: int, delta: dict[str, Any], logprobs: dict[str, Any] | None, reason: str | None
    ) -> dict[str, Any]:
        choice = {"index": number, "delta": delta, "logprobs": logprobs, "finish_reason": reason}
        usage = {"usage": None} if self.request.include_usage else {}
        return self._build_head("chat.completion.chunk") | {"choices": [choice]} | usage

    def _build_logprobs(self, tokens: list[str]) -> dict[str, Any] | None:
        if self.request.logprobs is None or not tokens:
            return None
        return build_logprobs(tokens, self.request.logprobs)

    def _build_head(self, kind: str) -> dict[str, Any]:
        head = {"id": self.id, "object": kind, "created": self.created, "model": self.request.model}
        return head | {"service_tier": "default", "system_fingerprint": self.behaviour.fingerprint}

    def _build_usage(self) -> dict[str, Any]:
        prompt = count_prompt_tokens(self.request.prompt.messages) + self.behaviour.prompt_tokens
        completion = sum(len(choice.tokens) for choice in self.choices)
        return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _build_deltas(choice: GeneratedAnswer, call_id: str) -> Iterator[tuple[dict[str, Any], list[str]]]:
    """Yield the deltas of a streamed message, each with the text tokens it contains."""
    if choice.function is None:
        yield {"role": "assistant", "content": "", "refusal": None}, []
        for token in choice.tokens:
            yield {"content": token}, [token]
        return
    first_call = {
        "index": 0,
        "id": call_id,
        "type": "function",
        "function": {"name": choice.function, "arguments": ""},
    }
    yield {"role": "assistant", "content": None, "tool_calls": [first_call]}, []
    for token in choice.tokens:
        yield {"tool_calls": [{"index": 0, "function": {"arguments": token}}]}, []


def _build_call_id(completion: str, number: int) -> str:
    return f"call_{blake2b(f'{completion}:{number}'.encode(), digest_size=12).hexdigest()}"
