"""What a model of the sandbox answers. The same training and the same prompt give the same answer, in any account.

A prompt is what both the chat completions and the responses endpoint make of their requests. Sampling parameters are
checked and change nothing: these models always answer with what is most likely.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import log
from typing import Any

from orchestrator.sandbox.api_call import ApiCall
from orchestrator.sandbox.endpoints.models import find_fine_tuning_job, model_not_found
from orchestrator.sandbox.faults import deterministic_random
from orchestrator.sandbox.simulation.json_instance import JsonInstanceBuilder
from orchestrator.sandbox.simulation.model_catalogue import find_base_model

OPENINGS = ("Of course.", "Gladly.", "Good question.", "Let us look at it together.", "Thank you for asking.")
MIDDLES = (
    "The short answer is that it depends on one thing:",
    "Start with the simplest step:",
    "What helps most here is this:",
    "There are two ways, and the first is easier:",
)
ENDINGS = (
    "try it once and tell me what you see.",
    "read it aloud, then change one word.",
    "begin with a small part.",
)
TOKEN_PATTERN = re.compile(r"\s*\S+|\s+")


@dataclass(frozen=True, slots=True)
class Prompt:
    """A conversation and the form its answer must have."""

    messages: list[dict[str, Any]]
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    schema: Mapping[str, Any] | None = None
    """The JSON Schema of the answer; None: free text."""
    schema_param: str = "response_format"
    tools: tuple[dict[str, Any], ...] = ()
    """Functions, by name and parameters, that may be called."""
    tool_choice: str = "auto"
    """`none`, `auto`, `required`, or the name of the function to call behind an `=`."""


@dataclass(frozen=True, slots=True)
class GeneratedAnswer:
    """One answer: text, or the call of a function with the text as its arguments."""

    text: str
    finish_reason: str
    function: str | None = None
    tokens: list[str] = field(default_factory=list)


def get_model_origin(call: ApiCall, name: str) -> str:
    """What makes a model what it is. Raises Refusal (404)."""
    if (base := find_base_model(name)) is not None and base.supports_chat:
        return base.id
    if (job := find_fine_tuning_job(call, name)) is not None:
        return f"{job.model.split(':')[0]} {job.training_sha256} {sorted(job.resolved.items())}"
    raise model_not_found(name)


def generate_answer(origin: str, prompt: Prompt, number: int = 0) -> GeneratedAnswer:
    """The answer of the model of that origin; `number` tells the answers to one prompt apart."""
    sentence = _build_sentence(origin, prompt.messages, number)
    function = _choose_function(prompt)
    if function is not None:
        arguments = JsonInstanceBuilder(function.get("parameters") or {"type": "object"}, sentence, "tools").build()
        return _limit_answer(_encode_json(arguments), prompt, function["name"])
    if prompt.schema is not None:
        value = JsonInstanceBuilder(prompt.schema, sentence, prompt.schema_param).build()
        return _limit_answer(_encode_json(value), prompt)
    return _limit_answer(sentence, prompt)


def count_prompt_tokens(messages: Sequence[Any]) -> int:
    """A token is about four characters, as the providers' rule of thumb says."""
    return max(1, len(json.dumps(messages)) // 4)


def build_logprobs(tokens: Sequence[str], alternatives: int) -> dict[str, Any]:
    """The probabilities of an answer's tokens: a half for the one that was chosen, less and less for others."""
    words = sorted({word for text in (*OPENINGS, *MIDDLES, *ENDINGS) for word in text.split()})
    content = []
    for token in tokens:
        others = [token, *(word for word in words if word != token)][:alternatives]
        top = [_build_logprob(other, rank) for rank, other in enumerate(others)]
        content.append(_build_logprob(token, 0) | {"top_logprobs": top})
    return {"content": content, "refusal": None}


def _build_logprob(token: str, rank: int) -> dict[str, Any]:
    return {"token": token, "logprob": round(log(0.5 ** (rank + 1)), 6), "bytes": list(token.encode())}


def _build_sentence(origin: str, messages: list[dict[str, Any]], number: int) -> str:
    asked = json.dumps(messages, sort_keys=True)
    more = (number,) if number else ()
    parts = enumerate((OPENINGS, MIDDLES, ENDINGS))
    return " ".join(part[int(deterministic_random(origin, asked, n, *more) * len(part))] for n, part in parts)


def _choose_function(prompt: Prompt) -> dict[str, Any] | None:
    """The function to call. Left to the model, it is one that the user's last message names, or none."""
    if not prompt.tools or prompt.tool_choice == "none":
        return None
    by_name = {tool["name"]: tool for tool in prompt.tools}
    if prompt.tool_choice.startswith("="):
        return by_name[prompt.tool_choice[1:]]
    last = prompt.messages[-1]
    said = json.dumps(last.get("content")) if last["role"] == "user" else ""
    named = next((tool for name, tool in by_name.items() if name in said), None)
    return prompt.tools[0] if named is None and prompt.tool_choice == "required" else named


def _limit_answer(text: str, prompt: Prompt, function: str | None = None) -> GeneratedAnswer:
    """The text until the first stop sequence, and of that at most so many tokens."""
    reason = "stop" if function is None else "tool_calls"
    if function is None:
        ends = [at for stop in prompt.stop if (at := text.find(stop)) >= 0]
        text = text[: min(ends, default=len(text))]
    tokens = TOKEN_PATTERN.findall(text)
    if prompt.max_tokens is not None and len(tokens) > prompt.max_tokens:
        tokens, reason = tokens[: prompt.max_tokens], "length"
    return GeneratedAnswer("".join(tokens), reason, function, tokens)


def _encode_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
