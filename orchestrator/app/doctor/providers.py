"""Providers: whether each key is accepted, by whom, and what time it is there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from orchestrator.app.connections import Connections
from orchestrator.app.doctor.diagnosis import Diagnosis, doubtful, fine, wrong
from orchestrator.app.doctor.inputs import TWIN_FIX, names
from orchestrator.core.account import Account, Identity, ProviderName
from orchestrator.core.errors import Failure, ProviderUnavailable
from orchestrator.core.retirement import unknown_holds
from orchestrator.core.secret import Secret
from orchestrator.core.spec import TrainingSpec
from orchestrator.core.twins import same_places
from orchestrator.daemon.models import base_models

ANSWER_SECONDS = 15.0
MOST_SKEW = 60.0  # seconds; a Date header knows whole ones, and an answer takes time


class Skews:
    """How far this machine's clock is from what the answers say, in seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.seen: list[float] = []
        self._now = now

    async def hear(self, response: Any) -> None:
        """An answer has come."""
        if date := response.headers.get("date"):
            self.seen.append(self._now() - parsedate_to_datetime(date).timestamp())


async def providers(
    connections: Connections,
    accounts: tuple[Account, ...],
    specs: Mapping[ProviderName, TrainingSpec],
    keys: Mapping[str, Secret],
    skews: Skews,
    proxies: Mapping[str, Secret],
) -> AsyncIterator[Diagnosis]:
    """Each account verified, as `orchestrator accounts` does; the base models; the clock against the answers'."""
    asked = tuple(account for account in accounts if account.name in keys)
    connections.connect_all(asked, keys, proxies)

    async def ask(account: Account) -> Identity | Failure:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return (await connections.verify([account]))[account.name]
        except TimeoutError:
            return Failure.of(ProviderUnavailable(f"no answer within {ANSWER_SECONDS:g} s"))

    answers = dict(zip(asked, await asyncio.gather(*map(ask, asked)), strict=True))
    for diagnosis in _accounts(answers):
        yield diagnosis
    accepted = [account for account, answer in answers.items() if isinstance(answer, Identity)]
    unknown = (await base_models(accepted, specs, connections.by_name)).unknown
    for hold in unknown_holds(unknown).values():
        yield wrong("base models", hold.reason, hold.hint)
    identities = {account.name: answer for account, answer in answers.items() if isinstance(answer, Identity)}
    for warning in same_places(asked, identities, {name: key.fingerprint for name, key in keys.items()}):
        yield doubtful("providers", warning, TWIN_FIX)
    if skews.seen:
        yield _clock(min(skews.seen, key=abs))


def _accounts(answers: Mapping[Account, Identity | Failure]) -> Iterator[Diagnosis]:
    if accepted := [account.name for account, answer in answers.items() if isinstance(answer, Identity)]:
        yield fine("providers", f"the keys of {names(accepted)} are accepted")
    for account, answer in answers.items():
        if isinstance(answer, Failure):
            message = f"{account.name} at {account.base_url or account.provider}: {answer.kind}: {answer.message}"
            yield wrong("providers", message, answer.hint)


def _clock(skew: float) -> Diagnosis:
    if abs(skew) <= MOST_SKEW:
        return fine("clock", "agrees with the providers'")
    way = "ahead of" if skew > 0 else "behind"
    return doubtful("clock", f"this machine's clock is {abs(skew):.0f} s {way} the providers'", "Set it by NTP.")
