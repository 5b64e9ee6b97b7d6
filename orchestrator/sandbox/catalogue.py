"""The base models this provider has.

Its own, `sandbox-…`, never retire: examples and tests that must work on any day use them. Those with OpenAI's names
have the shutdown dates that OpenAI announced (None where none was), for tests of retirement, which set the clock
themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

SHUTDOWN = "2027-01-14"
BOTH = ("supervised", "dpo")


@dataclass(frozen=True, slots=True)
class BaseModel:
    """A model of the provider's own. `methods`: how it may be fine-tuned."""

    id: str
    created: int
    shutdown_date: str | None = None
    methods: tuple[str, ...] = ()
    chats: bool = True


CATALOGUE = {
    model.id: model
    for model in (
        BaseModel("sandbox-small", 1764288000, None, BOTH),
        BaseModel("sandbox-large", 1764288000, None, BOTH),
        BaseModel("gpt-4.1-2025-04-14", 1744315746, SHUTDOWN, BOTH),
        BaseModel("gpt-4.1-mini-2025-04-14", 1744317547, SHUTDOWN, BOTH),
        BaseModel("gpt-4.1-nano-2025-04-14", 1744321025, None, BOTH),
        BaseModel("gpt-4o-2024-08-06", 1722814719, SHUTDOWN, BOTH),
        BaseModel("gpt-4o-mini-2024-07-18", 1721172717, SHUTDOWN, ("supervised",)),
        BaseModel("o4-mini-2025-04-16", 1744133506, None, ("reinforcement",)),
        BaseModel("gpt-5-mini-2025-08-07", 1754425867),
        BaseModel("omni-moderation-2024-09-26", 1732734466, chats=False),
    )
}
ALIASES = {
    "gpt-4.1": "gpt-4.1-2025-04-14",
    "gpt-4.1-mini": "gpt-4.1-mini-2025-04-14",
    "gpt-4.1-nano": "gpt-4.1-nano-2025-04-14",
    "gpt-4o": "gpt-4o-2024-08-06",
    "gpt-4o-mini": "gpt-4o-mini-2024-07-18",
    "o4-mini": "o4-mini-2025-04-16",
    "gpt-5-mini": "gpt-5-mini-2025-08-07",
    "omni-moderation-latest": "omni-moderation-2024-09-26",
}


def base_model(name: str) -> BaseModel | None:
    """The base model of that id or alias."""
    return CATALOGUE.get(ALIASES.get(name, name))
