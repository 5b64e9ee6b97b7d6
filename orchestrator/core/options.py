"""Run options: what `[run]` says about the run as a whole, beside the training specs."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.core.account import ProviderName


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """The `[run]` table of the accounts file, as it is written there.

    `dataset` and `validation` are relative to the file; `validation` is a set of chats that are not trained with.
    `schedule` is a cron line whose weekdays are names, because schedulers do not agree on which day is 0. The money
    limits are in US dollars; None is no limit. `pin_auto` are the providers whose choices for the first job are given
    to the rest, from their own blocks.
    """

    name: str
    dataset: str = "chats"
    validation_fraction: float = 0.0
    validation: str | None = None
    seed: int = 42
    suffix: str | None = None
    max_total_usd: float | None = None
    allow_unknown_price: bool = False
    moderation: str | None = None
    moderation_waived: str | None = None
    schedule: str | None = None
    pin_auto: frozenset[ProviderName] = frozenset()
