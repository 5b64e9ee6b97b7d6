"""Preference pairs for DPO: OpenAI's `input/preferred_output/non_preferred_output`, and `prompt/chosen/rejected`."""

from __future__ import annotations

from typing import Any

from orchestrator.dataset.example import Steps
from orchestrator.dataset.formats.shape import Shape, other_keys

KEYS = ("prompt", "chosen", "rejected")
OUTPUTS = {"preferred_output": "chosen", "non_preferred_output": "rejected"}


def preference(value: object) -> Shape | None:
    """A pair of answers to the same question."""
    if not isinstance(value, dict):
        return None
    if "preferred_output" in value or "non_preferred_output" in value:
        return Shape("preference", value)
    if all(key in value for key in KEYS):
        return _pair(value)
    return None


def _pair(value: dict[str, Any]) -> Shape:
    """`prompt`, `chosen` and `rejected` are texts, or lists of messages."""
    body: dict[str, Any] = {"input": {"messages": _messages("user", value["prompt"])}}
    body |= {output: _messages("assistant", value[key]) for output, key in OUTPUTS.items()}

    def back(steps: Steps) -> Steps:
        key, *rest = steps or ("",)
        inner = rest[1:] if key == "input" else rest
        source = "prompt" if key == "input" else OUTPUTS.get(str(key), "")
        return (source, *inner) if isinstance(value.get(source), list) else (source,) if source else ()

    return Shape("preference", body, back, left_out=other_keys(value, KEYS))


def _messages(role: str, said: object) -> object:
    return [{"role": role, "content": said}] if isinstance(said, str) else said
