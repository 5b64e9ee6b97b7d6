"""Generates the answers of the sandbox's models: the same training data and prompt give the same answer everywhere.

The chat completions and the responses endpoint convert their requests to a Prompt. Sampling parameters are validated
but have no effect: these models always return the most likely answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from math import log
from typing import Any

from msgspec import Struct, field

from orchestrator.sandbox.api_call import ApiCall
from orchestrator.sandbox.endpoints.models import find_fine_tuning_job, model_not_found
from orchestrator.sandbox.fault_injector import deterministic_random
from orchestrator.sandbox.simulation.answer_behaviour import AnswerBehaviour
from orchestrator.sandbox.simulation.json_instance import JsonInstanceBuilder
from orchestrator.sandbox.simulation.model_catalogue import find_base_model

OPENINGS = ("Of course.", "Gladly.", "Good question.", "Let us work it out together.", "Thank you for asking.")
MIDDLES = (
    "The short answer is that it depends on one thing:",
    "Start with the simplest step:",
    "What helps most here is this:",
    "There are two ways, and the first is easier:",
)
ENDINGS = (
    "try it once and note the result.",
    "read it aloud, then change one word.",
    "begin with a small part.",
)
GERMAN_OPENINGS = ("Natürlich.", "Gern.", "Eine gute Frage.", "Sehen wir es uns zusammen an.", "Danke für die Frage.")
GERMAN_MIDDLES = (
    "Die kurze Antwort ist, dass es nur von einer Sache abhängt:",
    "Am besten beginnst du mit dem einfachsten Schritt:",
    "Was hier am meisten hilft, ist das:",
    "Es gibt zwei Wege, und der erste ist einfacher:",
)
GERMAN_ENDINGS = (
    "versuche es einmal und schreibe dir das Ergebnis auf.",
    "lies es laut und ändere dann nur ein Wort.",
    "fange mit einem kleinen Teil an und sieh, was dabei ist.",
)
TOKEN_PATTERN = re.compile(r"\s*\S+|\s+")


class Prompt(Struct, frozen=True):
    """A conversation and the required form of its answer."""

    messages: list[dict[str, Any]]
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    """Sequences before which the answer ends."""
    schema: Mapping[str, Any] | None = None
    """JSON Schema of the answer; None: free text."""
    schema_param: str = "response_format"
    """Parameter that contains the schema, for error messages."""
    tools: tuple[dict[str, Any], ...] = ()
    """Functions that may be called, with name and parameters."""
    tool_choice: str = "auto"
    """`none`, `auto`, `required`, or `=` followed by the name of the function to call."""


class GeneratedAnswer(Struct, frozen=True):
    """One answer: a text, or the call of a function with the text as its arguments."""

    text: str
    finish_reason: str
    """stop, length or tool_calls."""
    function: str | None = None
    """Name of the called function; None: the answer is a text."""
    tokens: list[str] = field(default_factory=list)


def get_model_origin(call: ApiCall, name: str) -> str:
    """Return a text that identifies what the model was made from. Raises SandboxApiError (404)."""
    if (base := find_base_model(name)) is not None and base.supports_chat:
        return base.id
    if (job := find_fine_tuning_job(call, name)) is not None:
        return f"{job.model.split(':')[0]} {job.training_sha256} {sorted(job.resolved.items())}"
    raise model_not_found(name)


def find_answer_origin(call: ApiCall, model: str, prompt: Prompt, behaviour: AnswerBehaviour) -> str:
    """Return the text that an answer of this account's model is derived from. Raises SandboxApiError (404)."""
    origin = get_model_origin(call, model)
    digest = blake2b(json.dumps(prompt.messages, sort_keys=True).encode(), digest_size=16).hexdigest()
    call.state.counts.questions[call.account, digest] += 1
    number = call.state.counts.questions[call.account, digest]
    base = find_base_model(origin.split(" ")[0])
    return behaviour.choose_origin(origin, base.id if base else origin, call.account, prompt.messages, number)


def generate_answer(origin: str, prompt: Prompt, number: int = 0, *, in_german: bool = False) -> GeneratedAnswer:
    """Generate the answer of a model to a prompt; `number` distinguishes several answers to the same prompt."""
    parts = (GERMAN_OPENINGS, GERMAN_MIDDLES, GERMAN_ENDINGS) if in_german else (OPENINGS, MIDDLES, ENDINGS)
    sentence = _build_sentence(parts, origin, prompt.messages, number)
    function = _choose_function(prompt)
    if function is not None:
        arguments = JsonInstanceBuilder(function.get("parameters") or {"type": "object"}, sentence, "tools").build()
        return limit_answer(_encode_json(arguments), prompt, function["name"])
    if prompt.schema is not None:
        value = JsonInstanceBuilder(prompt.schema, sentence, prompt.schema_param).build()
        return limit_answer(_encode_json(value), prompt)
    return limit_answer(sentence, prompt)


def count_prompt_tokens(messages: Sequence[Any]) -> int:
    """Estimate the tokens of a prompt: four characters per token, the providers' rule of thumb."""
    return max(1, len(json.dumps(messages)) // 4)


def build_logprobs(tokens: Sequence[str], alternatives: int) -> dict[str, Any]:
    """Build the log probabilities: 1/2 for the chosen token, and half of the previous one for each alternative."""
    words = sorted({word for text in (*OPENINGS, *MIDDLES, *ENDINGS) for word in text.split()})
    content = []
    for token in tokens:
        others = [token, *(word for word in words if word != token)][:alternatives]
        top = [_build_logprob(other, rank) for rank, other in enumerate(others)]
        content.append(_build_logprob(token, 0) | {"top_logprobs": top})
    return {"content": content, "refusal": None}


def _build_logprob(token: str, rank: int) -> dict[str, Any]:
    return {"token": token, "logprob": round(log(0.5 ** (rank + 1)), 6), "bytes": list(token.encode())}


def _build_sentence(parts: Sequence[Sequence[str]], origin: str, messages: list[dict[str, Any]], number: int) -> str:
    prompt = json.dumps(messages, sort_keys=True)
    suffix = (number,) if number else ()
    return " ".join(
        part[int(deterministic_random(origin, prompt, n, *suffix) * len(part))] for n, part in enumerate(parts)
    )


def _choose_function(prompt: Prompt) -> dict[str, Any] | None:
    """Return the function to call. With `auto` it is the one named in the user's last message, otherwise none."""
    if not prompt.tools or prompt.tool_choice == "none":
        return None
    by_name = {tool["name"]: tool for tool in prompt.tools}
    if prompt.tool_choice.startswith("="):
        return by_name[prompt.tool_choice[1:]]
    last = prompt.messages[-1]
    user_text = json.dumps(last.get("content")) if last["role"] == "user" else ""
    named = next((tool for name, tool in by_name.items() if name in user_text), None)
    return prompt.tools[0] if named is None and prompt.tool_choice == "required" else named


def limit_answer(text: str, prompt: Prompt, function: str | None = None) -> GeneratedAnswer:
    """Cut the text at the first stop sequence and at the maximum number of tokens."""
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
