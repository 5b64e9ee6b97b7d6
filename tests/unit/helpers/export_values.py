"""Jobs and accounts to export, made by hand."""

from __future__ import annotations

from typing import Any

from orchestrator.core.account import Account, ProviderName
from orchestrator.core.capabilities import CAPABILITIES
from orchestrator.status import JobView


def job(account: str, provider: str = "openai", model: str | None = "", **values: Any) -> JobView:
    """A job whose model is there, unless `model` is None."""
    offers = CAPABILITIES[ProviderName(provider)]
    known: dict[str, Any] = dict.fromkeys(JobView.__struct_fields__)
    model = f"ft:gpt-4.1-mini:{account}" if model == "" else model
    known |= {
        "account": account,
        "checkpoints": (),
        "provider": provider,
        "base_model": "gpt-4.1-mini",
        "labels": (),
        "job": f"job-{account}",
        "state": "succeeded" if model else "running",
        "held": False,
        "fine_tuned_model": model,
        "servable": offers.servable if model else None,
        "serving_hint": offers.serving if model and not offers.servable else None,
    }
    return JobView(**known | values)


def account(name: str, provider: str = "openai", api_key: str = "", **values: Any) -> Account:
    return Account(name=name, provider=ProviderName(provider), api_key=api_key or f"file:keys/{name}", **values)
