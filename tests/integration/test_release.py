from __future__ import annotations

import pytest
from store_values import a_job, fill, read_job

from orchestrator import control
from orchestrator.core.hold import Hold, HoldKind
from orchestrator.store.db.database import Database


@pytest.mark.parametrize(("kind", "stays"), [(HoldKind.OVER_BUDGET, True), ("ambiguous", False)])
async def test_release_removes_every_hold_except_a_budget_hold(database: Database, kind: str, stays: bool) -> None:
    await fill(database, [a_job("acme", hold=Hold(kind, "a reason", "a hint"))])
    await control.release_accounts(database, ["acme"], by="me", now=100.0)
    job = await read_job(database, "acme")
    assert (job.hold is not None) is stays
    assert (job.wake_at == 100.0) is not stays
