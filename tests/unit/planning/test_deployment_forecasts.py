"""Providers are asked about deployments before the training, and a plan is possible without their answer."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest
import structlog

from orchestrator.core.account import Account, ProviderName
from orchestrator.core.deployment.deployment_spec import DeploymentKind, DeploymentSpec
from orchestrator.core.errors import ProviderUnavailable
from orchestrator.core.spec import RunOptions, TrainingSpec
from orchestrator.inputs.accounts_file.runs import RunDefinition
from orchestrator.planning import deployment_forecasts
from orchestrator.planning.deployment_forecasts import forecast_deployments
from orchestrator.providers.base import Provider, ProviderConnection

FIREWORKS, TOGETHER = ProviderName.FIREWORKS, ProviderName.TOGETHER
SPEC = DeploymentSpec(kind=DeploymentKind.HOUR, keep_hours=2)
ACCOUNTS = tuple(Account(name=name, provider=FIREWORKS, api_key="env:KEY") for name in ("one", "two"))
RUN = RunDefinition(
    options=RunOptions(name="support"),
    dataset=Path("chats"),
    specs={FIREWORKS: TrainingSpec(base_model="llama"), TOGETHER: TrainingSpec(base_model="qwen")},
    accounts=ACCOUNTS,
    deployments={FIREWORKS: SPEC, TOGETHER: SPEC},
)
LOG = structlog.get_logger("orchestrator")


class AskedProvider:
    """Answers with what it has, or raises it."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked: list[str] = []

    async def create_deployment(self) -> None:
        raise AssertionError("a plan creates nothing")

    async def list_deployment_options(self, base_model: str) -> Any:
        self.asked.append(base_model)
        if self.answer is asyncio.sleep:
            await asyncio.sleep(60)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def connect(*providers: object) -> dict[str, ProviderConnection]:
    return {
        account.name: ProviderConnection(account, "12345678", cast(Provider, provider))
        for account, provider in zip(ACCOUNTS, providers, strict=False)
    }


async def test_only_the_first_account_of_a_used_provider_is_asked() -> None:
    first, second = AskedProvider([]), AskedProvider([])
    [forecast] = await forecast_deployments(RUN, connect(first, second), LOG)
    assert (first.asked, second.asked) == (["llama"], [])
    assert (forecast.provider, forecast.options) == (FIREWORKS, ())
    assert forecast.hold is not None


@pytest.mark.parametrize("answer", [None, ProviderUnavailable("503"), asyncio.sleep])
async def test_missing_answer_is_unknown_and_holds_nothing(answer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deployment_forecasts, "OPTIONS_TIMEOUT_SECONDS", 0.05)
    [forecast] = await forecast_deployments(RUN, connect(AskedProvider(answer)), LOG)
    assert (forecast.options, forecast.hold) == (None, None)


@pytest.mark.parametrize("connections", [{}, connect(object())])
async def test_provider_without_a_key_or_without_deployments_is_unknown(
    connections: dict[str, ProviderConnection],
) -> None:
    [forecast] = await forecast_deployments(RUN, connections, LOG)
    assert forecast.options is None
