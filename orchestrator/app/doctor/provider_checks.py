"""Providers: whether each key is accepted, by whom, and what time it is there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from orchestrator.app.connections import Connections
from orchestrator.app.doctor.diagnosis import Diagnosis, error_diagnosis, ok_diagnosis, warning_diagnosis
from orchestrator.app.doctor.input_checks import DUPLICATE_ACCOUNT_FIX, format_names
from orchestrator.core.account import Account, AccountIdentity, ProviderName
from orchestrator.core.errors import Failure, ProviderUnavailable
from orchestrator.core.plans.duplicate_accounts import list_shared_project_warnings
from orchestrator.core.plans.retirement import list_unknown_model_holds
from orchestrator.core.secret import Secret
from orchestrator.core.spec import TrainingSpec
from orchestrator.planning.base_models import fetch_base_models

PROVIDER_TIMEOUT_SECONDS = 15.0
MAX_CLOCK_SKEW_SECONDS = 60.0  # seconds; a Date header knows whole ones, and an answer takes time


class ClockSkewRecorder:
    """How far this machine's clock is from what the answers say, in seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.skew_seconds: list[float] = []
        self._now = now

    async def record_response(self, response: Any) -> None:
        """An answer has come."""
        if date := response.headers.get("date"):
            self.skew_seconds.append(self._now() - parsedate_to_datetime(date).timestamp())


async def check_providers(
    connections: Connections,
    accounts: tuple[Account, ...],
    specs: Mapping[ProviderName, TrainingSpec],
    keys: Mapping[str, Secret],
    skew_recorder: ClockSkewRecorder,
    proxy_secrets: Mapping[str, Secret],
) -> AsyncIterator[Diagnosis]:
    """Each account verified, as `orchestrator accounts` does; the base models; the clock against the answers'."""
    asked = tuple(account for account in accounts if account.name in keys)
    connections.connect_accounts(asked, keys, proxy_secrets)

    async def ask(account: Account) -> AccountIdentity | Failure:
        try:
            async with asyncio.timeout(PROVIDER_TIMEOUT_SECONDS):
                return (await connections.verify_accounts([account]))[account.name]
        except TimeoutError:
            return Failure.from_error(ProviderUnavailable(f"no answer within {PROVIDER_TIMEOUT_SECONDS:g} s"))

    answers = dict(zip(asked, await asyncio.gather(*map(ask, asked)), strict=True))
    for diagnosis in _diagnose_accounts(answers):
        yield diagnosis
    accepted = [account for account, answer in answers.items() if isinstance(answer, AccountIdentity)]
    unknown = (await fetch_base_models(accepted, specs, connections.by_name)).unknown
    for hold in list_unknown_model_holds(unknown).values():
        yield error_diagnosis("base models", hold.reason, hold.hint)
    identities = {account.name: answer for account, answer in answers.items() if isinstance(answer, AccountIdentity)}
    for warning in list_shared_project_warnings(
        asked, identities, {name: key.fingerprint for name, key in keys.items()}
    ):
        yield warning_diagnosis("providers", warning, DUPLICATE_ACCOUNT_FIX)
    if skew_recorder.skew_seconds:
        yield _diagnose_clock(min(skew_recorder.skew_seconds, key=abs))


def _diagnose_accounts(answers: Mapping[Account, AccountIdentity | Failure]) -> Iterator[Diagnosis]:
    if accepted := [account.name for account, answer in answers.items() if isinstance(answer, AccountIdentity)]:
        yield ok_diagnosis("providers", f"the keys of {format_names(accepted)} are accepted")
    for account, answer in answers.items():
        if isinstance(answer, Failure):
            message = f"{account.name} at {account.base_url or account.provider}: {answer.kind}: {answer.message}"
            yield error_diagnosis("providers", message, answer.hint)


def _diagnose_clock(skew: float) -> Diagnosis:
    if abs(skew) <= MAX_CLOCK_SKEW_SECONDS:
        return ok_diagnosis("clock", "agrees with the providers'")
    way = "ahead of" if skew > 0 else "behind"
    return warning_diagnosis(
        "clock", f"this machine's clock is {abs(skew):.0f} s {way} the providers'", "Set it by NTP."
    )
