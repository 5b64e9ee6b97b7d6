"""The chat completion endpoint, in one piece or as a stream of server-sent events."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any
from uuid import uuid4

from orchestrator.sandbox.answer import Answer, EventStream
from orchestrator.sandbox.call import Call
from orchestrator.sandbox.chat_request import ChatRequest, parse_chat_request
from orchestrator.sandbox.generation import Generated, count_prompt_tokens, find_origin, generate, logprobs_of


async def create_chat(call: Call) -> Answer:
    """POST /v1/chat/completions."""
    request = parse_chat_request(await call.json())
    origin = find_origin(call, request.model)
    choices = [generate(origin, request.prompt, number) for number in range(request.choices)]
    completion = _Completion(request, choices, f"chatcmpl-{uuid4().hex[:24]}", int(call.now))
    if request.stream:
        return Answer(EventStream.of_data(completion.chunks()))
    return Answer(completion.whole())


@dataclass(frozen=True, slots=True)
class _Completion:
    """One answer, in the two forms in which it is sent."""

    request: ChatRequest
    choices: list[Generated]
    id: str
    created: int

    def whole(self) -> dict[str, Any]:
        choices = [self._choice(number, choice) for number, choice in enumerate(self.choices)]
        return self._head("chat.completion") | {"choices": choices, "usage": self._usage()}

    def chunks(self) -> Iterator[Any]:
        """For each choice its role, its tokens, and why it ended; then the usage if it was asked for."""
        for number, choice in enumerate(self.choices):
            for delta, tokens in _deltas(choice, _call_id(self.id, number)):
                yield self._chunk(number, delta, self._logprobs(tokens), None)
            yield self._chunk(number, {}, None, choice.finish_reason)
        if self.request.include_usage:
            yield self._head("chat.completion.chunk") | {"choices": [], "usage": self._usage()}
        yield "[DONE]"

    def _choice(self, number: int, choice: Generated) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": choice.text, "refusal": None, "annotations": []}
        if choice.function is not None:
            call = {"id": _call_id(self.id, number), "type": "function"}
            function = {"name": choice.function, "arguments": choice.text}
            message |= {"content": None, "tool_calls": [call | {"function": function}]}
        logprobs = self._logprobs(choice.tokens if choice.function is None else [])
        return {"index": number, "message": message, "logprobs": logprobs, "finish_reason": choice.finish_reason}

    def _chunk(
        self, number: int, delta: dict[str, Any], logprobs: dict[str, Any] | None, reason: str | None
    ) -> dict[str, Any]:
        choice = {"index": number, "delta": delta, "logprobs": logprobs, "finish_reason": reason}
        usage = {"usage": None} if self.request.include_usage else {}
        return self._head("chat.completion.chunk") | {"choices": [choice]} | usage

    def _logprobs(self, tokens: list[str]) -> dict[str, Any] | None:
        if self.request.logprobs is None or not tokens:
            return None
        return logprobs_of(tokens, self.request.logprobs)

    def _head(self, kind: str) -> dict[str, Any]:
        head = {"id": self.id, "object": kind, "created": self.created, "model": self.request.model}
        return head | {"service_tier": "default", "system_fingerprint": None}

    def _usage(self) -> dict[str, Any]:
        asked = count_prompt_tokens(self.request.prompt.messages)
        answered = sum(len(choice.tokens) for choice in self.choices)
        return {"prompt_tokens": asked, "completion_tokens": answered, "total_tokens": asked + answered}


def _deltas(choice: Generated, call_id: str) -> Iterator[tuple[dict[str, Any], list[str]]]:
    """What a stream adds to the message step by step, each with the tokens of text that it holds."""
    if choice.function is None:
        yield {"role": "assistant", "content": "", "refusal": None}, []
        for token in choice.tokens:
            yield {"content": token}, [token]
        return
    begun = {"index": 0, "id": call_id, "type": "function", "function": {"name": choice.function, "arguments": ""}}
    yield {"role": "assistant", "content": None, "tool_calls": [begun]}, []
    for token in choice.tokens:
        yield {"tool_calls": [{"index": 0, "function": {"arguments": token}}]}, []


def _call_id(completion: str, number: int) -> str:
    return f"call_{blake2b(f'{completion}:{number}'.encode(), digest_size=12).hexdigest()}"
