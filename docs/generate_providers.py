"""Write docs/providers.md from orchestrator/core/capabilities.py and the worked example in tests/contract."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from orchestrator.core.account import ProviderName
from orchestrator.core.capabilities import CAPABILITIES, Capabilities

PAGE = Path(__file__).with_name("providers.md")
EXAMPLE = Path(__file__).parents[1] / "tests" / "contract" / "tiny_provider.py"
TEMPLATE = """\
# Providers

What each provider offers. Generated from `orchestrator/core/capabilities.py` by `python docs/generate_providers.py`;
change the table there, not this page.

| | {names} |
|---|{rules}|
{offers}

"Our job is found again by" is what keeps a lost answer from being paid for twice. Where the provider keeps no
metadata, the tag stands at the end of the suffix, after as much of `[run] suffix` as fits. A remote job on our file
and base model that does not show its tag is left to a person, never taken for granted and never created anew.

## Options of `[run.PROVIDER]`

| option | {names} |
|---|{rules}|
{options}

An option that a provider lacks is an error that names its equivalent; it is never sent to be ignored. Options that
are left out, or "auto", are the provider's choice, and the status shows what a job actually used. `[run] seed` is
sent wherever there is one; a provider without is warned about. With `pin_auto = true` one job goes first, and what
the provider chooses for it is sent for all others.

A file that is larger than a provider takes, a base model that it says cannot be tuned, and an estimate that an
account may not pay hold the account in the plan, before anything is sent.

## When a model can be called

{serving}

Trained and servable are two facts, and both are in `/status`: `fine_tuned_model` and `servable`, with what is needed
as `serving_hint`. Until when a model can be called is `retires_on` and `days_left`; one that the provider no longer
has is `gone_at`. Finished models are looked at once a day.

## What nobody could confirm

The program is built so that either answer works.

{unconfirmed}

## Add a provider

1. Its name: a member of `ProviderName` in `orchestrator/core/account.py`.
2. What it offers: a row of `CAPABILITIES` in `orchestrator/core/capabilities.py`.
3. Its dialect: one file in `orchestrator/providers/`, which knows `base.py` and the helpers beside it and no other
   dialect. It does not wait, does not retry, does not touch the store, and lets nothing out but `ProviderError`s. For
   a server that speaks OpenAI's API a row of `DIALECTS` in `openai_dialects.py` is enough.
4. Its connector: a line in `Connections._dialects` in `orchestrator/app/connections.py`.
5. Its test: a bench (`tests/contract/provider_bench.py`) with a stand-in of the provider, and six lines of
   `tests/contract/test_providers.py`. The suite is the same for everyone: about forty-five behaviours, from a wrong
   key to a create whose answer was lost.

A seventh provider that passes the suite, whole:

```python
{example}
```
"""

ROWS: dict[str, Callable[[Capabilities], str]] = {
    "our job is found again by": lambda offers: offers.job_lookup,
    "training methods": lambda offers: ", ".join(offers.methods),
    "seed": lambda offers: _yes(offers.seed),
    "longest suffix": lambda offers: str(offers.suffix_length),
    "events": lambda offers: _yes(offers.events),
    "losses while it trains": lambda offers: _yes(offers.losses),
    "cancel": lambda offers: _yes(offers.cancel),
    "price": lambda offers: offers.price_source,
    "says whether a finished model is still there": lambda offers: _yes(offers.has_model_lookup),
    "callable after success": lambda offers: _yes(offers.servable),
    "fewest examples": lambda offers: str(offers.minimum_examples),
    "largest file": lambda offers: _size(offers.maximum_bytes),
}


def page() -> str:
    """The whole page."""
    everyone = CAPABILITIES.items()
    options = dict.fromkeys(option for offers in CAPABILITIES.values() for option in offers.options)
    return TEMPLATE.format(
        names=" | ".join(ProviderName),
        rules="|".join("---" for _ in ProviderName),
        offers="\n".join(_row(name, tell) for name, tell in ROWS.items()),
        options="\n".join(_row(f"`{name}`", lambda o, name=name: _yes(name in o.options)) for name in options),
        serving="\n".join(f"* **{name}**: {offers.serving}." for name, offers in everyone),
        unconfirmed="\n".join(f"* **{name}**: {'; '.join(offers.unconfirmed)}." for name, offers in everyone),
        example=EXAMPLE.read_text(encoding="utf-8").strip(),
    )


def _row(title: str, tell: Callable[[Capabilities], str]) -> str:
    return f"| {title} | " + " | ".join(tell(CAPABILITIES[name]) for name in ProviderName) + " |"


def _yes(offered: bool) -> str:
    return "yes" if offered else "–"


def _size(count: int) -> str:
    return f"{count // 1_000_000_000} GB" if count >= 1_000_000_000 else f"{count // 1_000_000} MB"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
