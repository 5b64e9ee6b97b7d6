"""Checks with the providers: keys, base models and the clock. Their requests are free of charge."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from email.utils import parsedate_to_datetime

from orchestrator.app.connections import Connections
from orchestrator.app.doctor.diagnosis import Diagnosis, error_diagnosis, ok_diagnosis, warning_diagnosis
from orchestrator.app.doctor.input_checks import DUPLICATE_ACCOUNT_FIX, format_names
from orchestrator.core.account import Account, AccountIdentity
from orchestrator.core.errors import Failure, ProviderUnavailable
from orchestrator.core.plans.duplicate_accounts import list_shared_project_warnings
from orchestrator.core.plans.retirement import list_unknown_model_holds
from orchestrator.core.secret import Secret
from orchestrator.inputs.accounts_file.runs import RunDefinition
from orchestrator.planning.base_models import fetch_base_models

PROVIDER_TIMEOUT_SECONDS = 15.0
MAX_CLOCK_SKEW_SECONDS = 60.0  # far above the error of the measure: whole seconds in the header, and the round trip


class ClockSkewRecorder:
    """Records the difference between this machine's clock and the Date header of each response, in seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.skew_seconds: list[float] = []
        self._now = now

    def record_response(self, headers: Mapping[str, str]) -> None:
        """Record the skew that a response shows; positive if this machine is ahead. A hook of the HTTP client."""
        if date := headers.get("date"):
            self.skew_seconds.append(self._now() - parsedate_to_datetime(date).timestamp())


async def check_providers(
    connections: Connections,
    accounts: tuple[Account, ...],
    runs: tuple[RunDefinition, ...],
    keys: Mapping[str, Secret],
    skew_recorder: ClockSkewRecorder,
    proxy_secrets: Mapping[str, Secret],
) -> AsyncIterator[Diagnosis]:
    """Verify each account as `orchestrator accounts` does, then check the base models and the clock."""
    accounts_with_key = tuple(account for account in accounts if account.name in keys)
    connections.connect_accounts(accounts_with_key, keys, proxy_secrets)

    async def verify(account: Account) -> AccountIdentity | Failure:
        try:
            async with asyncio.timeout(PROVIDER_TIMEOUT_SECONDS):
                return (await connections.verify_accounts([account]))[account.name]
        except TimeoutError:
            return Failure.from_error(ProviderUnavailable(f"no response within {PROVIDER_TIMEOUT_SECONDS:g} s"))

    results = dict(zip(accounts_with_key, await asyncio.gather(*map(verify, accounts_with_key)), strict=True))
    for diagnosis in _diagnose_accounts(results):
        yield diagnosis
    accepted = [account for account, result in results.items() if isinstance(result, AccountIdentity)]
    for run in runs:
        usable = [account for account in accepted if account in run.accounts]
        unknown = (await fetch_base_models(usable, run.specs, connections.by_name)).unknown
        for hold in list_unknown_model_holds(unknown).values():
            yield error_diagnosis("base models", hold.reason, hold.hint)
    identities = {account.name: result for account, result in results.items() if isinstance(result, AccountIdentity)}
    fingerprints = {name: key.fingerprint for name, key in keys.items()}
    for warning in list_shared_project_warnings(accounts_with_key, identities, fingerprints):
        yield warning_diagnosis("providers", warning, DUPLICATE_ACCOUNT_FIX)
    if skew_recorder.skew_seconds:
        # The smallest skew: a slow response makes the difference larger, never smaller.
        yield _diagnose_clock(min(skew_recorder.skew_seconds, key=abs))


def _diagnose_accounts(results: Mapping[Account, AccountIdentity | Failure]) -> Iterator[Diagnosis]:
    if accepted := [account.name for account, result in results.items() if isinstance(result, AccountIdentity)]:
        yield ok_diagnosis("providers", f"the keys of {format_names(accepted)} are accepted")
    for account, result in results.items():
        if isinstance(result, Failure):
            message = f"{account.name} at {account.base_url or account.provider}: {result.kind}: {result.message}"
            yield error_diagnosis("providers", message, result.hint)


def _diagnose_clock(skew: float) -> Diagnosis:
    if abs(skew) <= MAX_CLOCK_SKEW_SECONDS:
        return ok_diagnosis("clock", "agrees with the clocks of the providers")
    direction = "ahead of" if skew > 0 else "behind"
    message = f"this machine's clock is {abs(skew):.0f} s {direction} the clocks of the providers"
    return warning_diagnosis("clock", message, "Synchronise the clock with NTP.")
