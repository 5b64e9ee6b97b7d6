"""The base models of the sandbox.

The models `sandbox-…` never retire; examples and tests that must work on any day use them. The models with OpenAI's
names have the shutdown dates that OpenAI announced, for tests of retirement, which set the clock.
"""

from __future__ import annotations

from msgspec import Struct

SHUTDOWN_DATE = "2027-01-14"
SUPERVISED_AND_DPO = ("supervised", "dpo")


class CatalogueModel(Struct, frozen=True):
    """A base model."""

    id: str
    created: int
    """Epoch seconds."""
    shutdown_date: str | None = None
    """ISO date; None: no date was announced."""
    methods: tuple[str, ...] = ()
    """Methods with which it can be fine-tuned; empty: none."""
    supports_chat: bool = True


CATALOGUE = {
    model.id: model
    for model in (
        CatalogueModel("sandbox-small", 1764288000, None, SUPERVISED_AND_DPO),
        CatalogueModel("sandbox-large", 1764288000, None, SUPERVISED_AND_DPO),
        CatalogueModel("gpt-4.1-2025-04-14", 1744315746, SHUTDOWN_DATE, SUPERVISED_AND_DPO),
        CatalogueModel("gpt-4.1-mini-2025-04-14", 1744317547, SHUTDOWN_DATE, SUPERVISED_AND_DPO),
        CatalogueModel("gpt-4.1-nano-2025-04-14", 1744321025, None, SUPERVISED_AND_DPO),
        CatalogueModel("gpt-4o-2024-08-06", 1722814719, SHUTDOWN_DATE, SUPERVISED_AND_DPO),
        CatalogueModel("gpt-4o-mini-2024-07-18", 1721172717, SHUTDOWN_DATE, ("supervised",)),
        CatalogueModel("o4-mini-2025-04-16", 1744133506, None, ("reinforcement",)),
        CatalogueModel("gpt-5-mini-2025-08-07", 1754425867),
        CatalogueModel("omni-moderation-2024-09-26", 1732734466, supports_chat=False),
    )
}
MODEL_ALIASES = {
    "gpt-4.1": "gpt-4.1-2025-04-14",
    "gpt-4.1-mini": "gpt-4.1-mini-2025-04-14",
    "gpt-4.1-nano": "gpt-4.1-nano-2025-04-14",
    "gpt-4o": "gpt-4o-2024-08-06",
    "gpt-4o-mini": "gpt-4o-mini-2024-07-18",
    "o4-mini": "o4-mini-2025-04-16",
    "gpt-5-mini": "gpt-5-mini-2025-08-07",
    "omni-moderation-latest": "omni-moderation-2024-09-26",
}


def find_base_model(name: str) -> CatalogueModel | None:
    """Return the base model with this id or alias."""
    return CATALOGUE.get(MODEL_ALIASES.get(name, name))
