"""Whether the models of a comparison have changed since an earlier one: its part of the result, and its text.

The earlier answers of an account are those of the latest comparison that sent the same probes to the same model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from orchestrator.core.comparison.answer import AnswerRound, ModelAnswers
from orchestrator.core.comparison.distances.distance import DistanceMeasure
from orchestrator.core.comparison.distances.drift import DriftConclusion, DriftMeasurement, measure_drift
from orchestrator.core.structs import Struct
from orchestrator.core.text import format_count, format_time

_CHANGED: Final = {
    DriftConclusion.CHANGED: True,
    DriftConclusion.NO_CHANGE_FOUND: False,
    DriftConclusion.TOO_FEW_PROBES: None,
}


class EarlierAnswers(Struct, frozen=True, kw_only=True):
    """The answers of one model in an earlier comparison."""

    comparison_id: str
    at: float  # when that comparison ended, epoch seconds
    rounds: Sequence[AnswerRound]


class AccountDrift(Struct, frozen=True, kw_only=True):
    """The change of the model of one account since an earlier comparison."""

    comparison_id: str
    at: float
    measurement: DriftMeasurement

    def as_dict(self) -> dict[str, Any]:
        """Convert to the field `drift` of an account in the result document."""
        return {
            "comparison": self.comparison_id,
            "at": datetime.fromtimestamp(self.at, UTC).isoformat(timespec="seconds"),
            "changed": _CHANGED[self.measurement.conclusion],
            "p_value": round(self.measurement.p_value, 6),
            "distance": round(self.measurement.distance, 4),
            "probes": self.measurement.probes,
            "changed_most": list(self.measurement.probe_ids),
        }


def measure_account_drift(
    models: Sequence[ModelAnswers],
    earlier: Mapping[str, EarlierAnswers],
    probe_ids: Sequence[str],
    measure: DistanceMeasure,
) -> dict[str, AccountDrift]:
    """Measure the change of each model that has earlier answers, by account."""
    old = {account: each.rounds for account, each in earlier.items()}
    new = {model.account: model.rounds for model in models}
    return {
        found.account: AccountDrift(
            comparison_id=earlier[found.account].comparison_id, at=earlier[found.account].at, measurement=found
        )
        for found in measure_drift(old, new, probe_ids, measure)
    }


def list_changed_accounts(document: Mapping[str, Any]) -> list[str]:
    """List the accounts of a result document whose model has changed."""
    return [each["account"] for each in document.get("accounts", []) if (each.get("drift") or {}).get("changed")]


def format_drift(account: Mapping[str, Any]) -> str | None:
    """Format what an account of a result document says about its change; None without an earlier comparison.

    Documents of earlier versions do not have the field.
    """
    drift = account.get("drift")
    if drift is None:
        return None
    since = f"since {format_time(datetime.fromisoformat(drift['at']).timestamp())} (comparison {drift['comparison']})"
    facts = f"{format_count(drift['probes'], 'probe')}, p = {drift['p_value']:.2g}"
    if drift["changed"] is None:
        return f"too few probes to see a change {since}: {facts}"
    return f"model changed {since}: {facts}" if drift["changed"] else f"no change found {since}: {facts}"
