"""Finished comparisons with known verdicts, stored without asking a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from store_values import NOW, RUN

from orchestrator.core.comparison.comparison import Comparison, ComparisonSettings, ComparisonState, ModelToAsk
from orchestrator.core.structs import replace
from orchestrator.store.db.database import Database
from orchestrator.store.queries.comparisons import comparison_records

REASON = "refuses 12 % of the probes, the others 1 %"


def build_result(verdicts: Mapping[str, str]) -> dict[str, Any]:
    """Build the part of a result document that does not need answers."""
    accounts = [
        {
            "account": name,
            "verdict": verdict,
            "reasons": [] if verdict == "alike" else [REASON],
            "obstacle": None,
            "unsteady": False,
            "alone": False,
            "needed_probes": None,
            "accepted_by": None,
            "measurements": [],
        }
        for name, verdict in verdicts.items()
    ]
    return {
        "schema": 1,
        "run": RUN.id,
        "passed": not {"different", "not_comparable"} & set(verdicts.values()),
        "summary": f"{list(verdicts.values()).count('alike')} of {len(verdicts)} alike",
        "probe_set": "f" * 64,
        "probes": 2,
        "requests": 8,
        "usd": 0.01,
        "token_usd": 0.01,
        "hosting_usd": 0.0,
        "measure": "text",
        "groups": [],
        "accounts": accounts,
        "distances": [],
    }


async def store_comparison(
    database: Database, comparison_id: str, verdicts: Mapping[str, str], models: Mapping[str, str], at: float = NOW
) -> Comparison:
    """Store a finished comparison of these fine-tuned models; they are called by the names of deployments."""
    asked = tuple(
        ModelToAsk(
            name=name,
            account=name,
            group="openai sandbox-small",
            model=f"deployment-of-{name}",
            base_url="https://call.example/v1",
            fine_tuned_model=models[name],
        )
        for name in verdicts
    )
    started = Comparison(
        id=comparison_id,
        run_id=RUN.id,
        state=ComparisonState.ASKING,
        created_at=at - 60,
        created_by="operator:ada",
        settings=ComparisonSettings(),
        models=asked,
        probe_set="f" * 64,
        probe_ids=("p1", "p2"),
        max_output_tokens=64,
        spent_usd=0.01,
        requests=8,
    )
    await database.write(lambda tx: comparison_records.add(tx, started))
    ended = replace(started, state=ComparisonState.FINISHED, result=build_result(verdicts), finished_at=at)
    await database.write(lambda tx: comparison_records.finish(tx, ended, at=at, cause="operator:ada"))
    return ended
