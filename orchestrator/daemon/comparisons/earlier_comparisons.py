"""Finds the answers that the models of a comparison gave earlier to the same probes."""

from __future__ import annotations

from collections.abc import Iterable

from orchestrator.core.comparison.comparison import Comparison, ModelToAsk
from orchestrator.core.comparison.distances.account_drift import EarlierAnswers
from orchestrator.core.comparison.request_plan import ROUNDS
from orchestrator.daemon.comparisons.comparison_result import collect_rounds
from orchestrator.store.db.database import Database
from orchestrator.store.queries.comparisons import comparison_records, earlier_records


async def load_earlier_answers(database: Database, comparison: Comparison) -> dict[str, EarlierAnswers]:
    """Load the answers of each account's model in its latest earlier comparison with the same probes, by account.

    A comparison in which the model gave fewer than half of its answers is passed over: otherwise a change that
    happened before an outage would never be seen.
    """
    needed = len(comparison.probe_ids) * ROUNDS / 2
    current = _list_model_ids(comparison.models)
    found: dict[str, EarlierAnswers] = {}
    async with database.read_long() as connection:
        candidates = await earlier_records.list_earlier(connection, comparison)
        counts = await earlier_records.count_answers_with_text(connection, [each.id for each in candidates])
        for candidate in candidates:
            names = {
                name
                for name, model_id in _list_model_ids(candidate.models).items()
                if current.get(name) == model_id and counts.get((candidate.id, name), 0) >= needed
            } - found.keys()
            if not names:
                continue
            stored = await comparison_records.list_answers(connection, candidate.id, models=names)
            rounds = collect_rounds(stored)
            for name in names:
                found[name] = EarlierAnswers(
                    comparison_id=candidate.id, at=candidate.finished_at, rounds=rounds[name]
                )
    return found


def _list_model_ids(models: Iterable[ModelToAsk]) -> dict[str, str]:
    """Return the ids of the fine-tuned models by account. A deployment may keep its name when its model changes."""
    return {model.name: model.fine_tuned_model or model.model for model in models if not model.is_base}
