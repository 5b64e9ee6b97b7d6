"""Contexts: how many tokens of one example a base model is trained with."""

from __future__ import annotations

import re

# "Training examples context length" of OpenAI's fine-tuning guide, as of 2025. What is longer is cut off there.
CONTEXT_TOKENS_BY_MODEL = {
    "gpt-4.1": 65_536,
    "gpt-4.1-mini": 65_536,
    "gpt-4.1-nano": 65_536,
    "gpt-4o": 65_536,
    "gpt-4o-mini": 65_536,
    "gpt-4": 8_192,
    "gpt-3.5-turbo": 16_385,
    "sandbox-small": 65_536,
    "sandbox-large": 65_536,
}


def find_context_limit(base_model: str) -> int | None:
    """The limit of a base model by its name without the date; None where it is not known."""
    plain = re.sub(r"^ft:([^:]*).*", r"\1", base_model)
    return CONTEXT_TOKENS_BY_MODEL.get(re.sub(r"-(?:\d{4}-\d{2}-\d{2}|\d{4})$", "", plain))
