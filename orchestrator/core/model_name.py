"""The parts of a model's name: the base model of a fine-tuned model, and the version at its end."""

from __future__ import annotations

import re

# Two functions and not one: an entry of the price list covers the dates of its model and nothing else, so a wider
# match would invent a price; a context limit also covers the four-digit versions of older models.
_FINE_TUNED = re.compile(r"ft:([^:]*)")
_NAMED_BASE = re.compile(r"ft:([^:]+):|(.+)\.ft-[0-9a-f]+")  # of OpenAI, and of Azure
_DATE = re.compile(r"-\d{4}-\d{2}-\d{2}$")
_DATE_OR_VERSION = re.compile(r"-(?:\d{4}-\d{2}-\d{2}|\d{4})$")


def get_base_model(model: str) -> str:
    """Return the base model of a fine-tuned model: "gpt-4.1" of "ft:gpt-4.1:acme:tone:abc"; any other name as it is.

    tiktoken and the price lists know only base models, while a job may continue the training of an own model.
    """
    match = _FINE_TUNED.match(model)
    return match[1] if match else model


def find_named_base_model(model: str) -> str | None:
    """Return the base model that the id of a fine-tuned model names; None if ids of this form name none."""
    match = _NAMED_BASE.match(model)
    return (match[1] or match[2]) if match else None


def strip_date(model: str) -> str:
    """Return the name without its date: "gpt-4.1" of "gpt-4.1-2025-04-14"."""
    return _DATE.sub("", model)


def strip_version(model: str) -> str:
    """Return the name without its date or its four-digit version: "gpt-4" of "gpt-4-0613"."""
    return _DATE_OR_VERSION.sub("", model)
