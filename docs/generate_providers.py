"""Write docs/providers.md from orchestrator/core/capabilities.py and the worked example in tests/contract."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from orchestrator.core.account import ProviderName
from orchestrator.core.capabilities import CAPABILITIES, Capabilities
from orchestrator.core.deployment.deployment_offers import DEPLOYMENT_OFFERS
from orchestrator.core.providers import PROVIDERS

PAGE = Path(__file__).with_name("providers.md")
EXAMPLE = Path(__file__).parents[1] / "tests" / "contract" / "helpers" / "tiny_provider.py"
TEMPLATE = """\
# Providers

What each provider supports. `python docs/generate_providers.py` generates this page from
`orchestrator/core/capabilities.py`; change the table there, not here.

| | {names} |
|---|{rules}|
{offers}

The first row prevents a second paid job after a lost answer: it names the data by which the service finds the
remote job again. Where the provider stores no metadata, the tag is at the end of the suffix, after as much of
`[run] suffix` as fits. If a remote job on the same file and base model shows no tag, an operator decides: the
service neither adopts this remote job automatically nor creates another.

## Options of `[run.PROVIDER]`

| option | {names} |
|---|{rules}|
{options}

An option that a provider does not support is an error that names its equivalent; the program never sends an
option that the provider would ignore. If an option is left out or "auto", the provider chooses the value; `/status`
shows the values that each job used.
`[run] seed` is sent to each provider that supports one; for the others a warning is shown. With `pin_auto = true`
one job starts first, and the values that the provider chooses for it are sent for all others.

The plan holds an account before anything is sent, if its file exceeds the provider's limit, if the provider reports
the base model as not tunable, or if the estimated price exceeds the account's budget.

## When a model can be called

{serving}

`/status` shows separately whether a model is trained (`fine_tuned_model`) and whether it can be called
(`servable`), with the missing step as `serving_hint`. `retires_on` and `days_left` show how long a model can be
called; `gone_at` is the time at which the service first found that the provider no longer has the model. Finished
models are checked once a day.

## Deployments

What `[run.PROVIDER.deployment]` accepts, from `orchestrator/core/deployment/deployment_offers.py`. The models of
providers without a row are callable by themselves. `kind` and `keep_hours` are always required. `orchestrator serve`
creates the deployment when the job has succeeded, and removes it after `keep_hours`. Commands that end with their
jobs, such as `orchestrator run`, do not create deployments: nothing would stop them.

| provider | kind | provider's term | options | removed by the provider after |
|---|---|---|---|---|
{deployments}

A deployment is found again by:

{deployment_lookups}

Not offered, although the provider has it:

{not_offered}

## Links to the provider's console

The dashboard links job, file and model to these pages of the provider's web console. A page whose address the
provider does not publish has no link, and accounts with a `base_url` of their own have none at all. The addresses
are in `orchestrator/core/providers.py`.

| provider | resource | page | published in |
|---|---|---|---|
{console}

## What could not be confirmed

The following facts could not be confirmed. The program works correctly whether they are true or not.

{unconfirmed}

## Add a provider

[Add a provider](how-to/add-a-provider.md) lists the files to change. The contract is the same for all providers:
about sixty behaviours, from a wrong key to a create whose response was lost. A complete seventh provider that
passes it:

```python
{example}
```
"""

ROWS: dict[str, Callable[[Capabilities], str]] = {
    "the job is found again by": lambda offers: offers.job_lookup,
    "training methods": lambda offers: ", ".join(offers.methods),
    "seed": lambda offers: _yes(offers.seed),
    "longest suffix": lambda offers: str(offers.suffix_length),
    "events": lambda offers: _yes(offers.events),
    "losses during the training": lambda offers: _yes(offers.losses),
    "cancel": lambda offers: _yes(offers.cancel),
    "price": lambda offers: offers.price_source,
    "checkpoints that can be listed": lambda offers: _yes(offers.checkpoints),
    "reports whether a finished model still exists": lambda offers: _yes(offers.has_model_lookup),
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
        offers="\n".join(_row(name, to_cell) for name, to_cell in ROWS.items()),
        options="\n".join(_row(f"`{name}`", lambda o, name=name: _yes(name in o.options)) for name in options),
        serving="\n".join(f"* **{name}**: {offers.serving}." for name, offers in everyone),
        deployments="\n".join(_list_deployment_rows()),
        deployment_lookups="\n".join(
            f"* **{name}**: {offer.lookup}." for name, offer in DEPLOYMENT_OFFERS.items() if offer.lookup
        ),
        not_offered="\n".join(
            f"* **{name}**: {offer.not_offered}." for name, offer in DEPLOYMENT_OFFERS.items() if offer.not_offered
        ),
        console="\n".join(_list_console_rows()),
        unconfirmed="\n".join(f"* **{name}**: {'; '.join(_list_unconfirmed(name))}." for name in CAPABILITIES),
        example=EXAMPLE.read_text(encoding="utf-8").strip(),
    )


def _list_deployment_rows() -> Iterator[str]:
    for name, offer in DEPLOYMENT_OFFERS.items():
        for kind, each in offer.kinds.items():
            options = ", ".join(
                f"`{option}` (required)" if option in each.required else f"`{option}`" for option in each.options
            )
            ends = []
            if each.lifetime_hours is not None:
                ends.append(f"{each.lifetime_hours:g} h")
            if each.idle_lifetime_hours is not None:
                ends.append(f"{each.idle_lifetime_hours / 24:g} days without calls")
            yield f"| {name} | {kind} | {each.provider_term} | {options or '–'} | {', '.join(ends) or '–'} |"


def _list_unconfirmed(name: ProviderName) -> Iterator[str]:
    yield from CAPABILITIES[name].unconfirmed
    offer = DEPLOYMENT_OFFERS[name]
    for kind in offer.kinds.values():
        yield from (f"deployments, {kind.provider_term}: {each}" for each in kind.unconfirmed)
    yield from (f"deployments: {each}" for each in offer.unconfirmed)


def _list_console_rows() -> Iterator[str]:
    for name, info in PROVIDERS.items():
        for resource, each in info.console.items():
            kind = f"{resource}, if its id contains `{each.only_in}`" if each.only_in else resource
            yield f"| {name} | {kind} | `{each.template}` | {each.source} |"


def _row(title: str, to_cell: Callable[[Capabilities], str]) -> str:
    return f"| {title} | " + " | ".join(to_cell(CAPABILITIES[name]) for name in ProviderName) + " |"


def _yes(offered: bool) -> str:
    return "yes" if offered else "–"


def _size(count: int) -> str:
    return f"{count // 1_000_000_000} GB" if count >= 1_000_000_000 else f"{count // 1_000_000} MB"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
