"""Hearing: what the providers say before a plan is made, of its base models and its prices."""

from __future__ import annotations

from collections.abc import Mapping

from structlog.stdlib import BoundLogger

from orchestrator.core.plan import Heard, Known
from orchestrator.core.retirement import complete, retirement_hold, unknown_holds, untunable_holds, warnings
from orchestrator.daemon.desired import Desired
from orchestrator.daemon.models import Told, base_models
from orchestrator.daemon.quotes import quotes
from orchestrator.providers.base import Connection


async def hear(
    desired: Desired, known: Known, connections: Mapping[str, Connection], log: BoundLogger, now: float
) -> tuple[Told, Heard]:
    """The base models as they were told and published, and what follows from all that was said."""
    names = {account.provider: desired.file.specs[account.provider].base_model for account in desired.file.accounts}
    published = {name: known for name, known in desired.retirements.items() if name in names}
    asked = await base_models(desired.file.accounts, desired.file.specs, connections, log)
    models = complete(asked.told, names, published)
    return models, Heard(
        retirement=retirement_hold(models, now),
        untunable=untunable_holds(models, now) | unknown_holds(asked.unknown),
        quotes=await quotes(desired, known, connections, log),
        warnings=tuple(warnings(models, now)),
    )
