"""The gate: which fine-tuned models the exports of a run hold, and the records by which operators accept models.

A verdict and an acceptance are about one model. A model that is trained later has neither, whatever its account.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from orchestrator.core.comparison.comparison import ModelToAsk
from orchestrator.core.comparison.verdict import FAILING_VERDICTS, ComparisonVerdict
from orchestrator.core.structs import Struct

_NOT_COMPARED: Final = "has not been compared: `orchestrator compare`"
_OTHER_MODEL: Final = "is left out by the gate: comparisons are about the final model, not about its checkpoints"
_PREDICATES: Final = {
    ComparisonVerdict.DIFFERENT: "is different from the other models",
    ComparisonVerdict.NOT_SURE: "is not certainly alike",
    ComparisonVerdict.NOT_COMPARABLE: "is not comparable",
}


class ModelAcceptance(Struct, frozen=True, kw_only=True):
    """The record that an operator accepts one fine-tuned model, whatever its verdict is. Times are epoch seconds."""

    id: str
    run_id: str
    account: str
    job_id: str
    model: str  # id of the fine-tuned model: another model of the account is not accepted
    comparison_id: str | None  # the latest comparison at that time; None: there was none
    reason: str
    accepted_by: str  # actor, as in the event history
    accepted_at: float
    revoked_by: str | None = None
    revoked_at: float | None = None


class ModelComparison(Struct, frozen=True, kw_only=True):
    """What is known about one fine-tuned model: the verdict of the latest comparison, and whether it is accepted."""

    model: str
    verdict: ComparisonVerdict | None = None  # None: it was accepted without having been compared
    reasons: tuple[str, ...] = ()
    comparison_id: str | None = None
    at: float | None = None  # when the comparison ended, epoch seconds
    accepted_by: str | None = None  # actor, as in the event history
    accepted_reason: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Convert to plain values for documents that name the model themselves."""
        return {
            "verdict": self.verdict,
            "reasons": list(self.reasons),
            "comparison": self.comparison_id,
            "at": self.at,
            "accepted_by": self.accepted_by,
            "accepted_reason": self.accepted_reason,
        }


class RunVerdicts(Struct, frozen=True, kw_only=True):
    """The verdicts of a run's latest finished comparison, and the acceptances that are in force."""

    verdicts: Mapping[tuple[str, str], ModelComparison]  # by account and fine-tuned model
    acceptances: tuple[ModelAcceptance, ...] = ()  # the earliest first

    def find(self, account: str, model: str | None) -> ModelComparison | None:
        """Return what is known about a model; None if it was neither compared nor accepted."""
        if model is None:
            return None
        compared = self.verdicts.get((account, model))
        accepted = [each for each in self.acceptances if (each.account, each.model) == (account, model)]
        if compared is None and not accepted:
            return None
        return ModelComparison(
            model=model,
            verdict=compared.verdict if compared else None,
            reasons=compared.reasons if compared else (),
            comparison_id=compared.comparison_id if compared else None,
            at=compared.at if compared else None,
            accepted_by=accepted[-1].accepted_by if accepted else None,
            accepted_reason=accepted[-1].reason if accepted else None,
        )

    def list_changed_accounts(self, before: RunVerdicts) -> set[str]:
        """Return the accounts for whose models `find` may return something else than it did before."""
        compared = self.verdicts.keys() | before.verdicts.keys()
        changed = {key[0] for key in compared if self.verdicts.get(key) != before.verdicts.get(key)}
        return changed | {each.account for each in set(self.acceptances) ^ set(before.acceptances)}


NO_VERDICTS: Final = RunVerdicts(verdicts={})


def build_verdicts(
    comparison_id: str, at: float | None, models: Iterable[ModelToAsk], accounts: Sequence[Mapping[str, Any]]
) -> dict[tuple[str, str], ModelComparison]:
    """Build the verdicts by account and fine-tuned model. `accounts` are those of the result document."""
    tuned = _list_tuned_models(models)
    return {
        (each["account"], tuned[each["account"]]): ModelComparison(
            model=tuned[each["account"]],
            verdict=ComparisonVerdict(each["verdict"]),
            reasons=tuple(each["reasons"]),
            comparison_id=comparison_id,
            at=at,
        )
        for each in accounts
        if each["account"] in tuned
    }


def find_gate_obstacle(model: str, comparison: ModelComparison | None) -> str | None:
    """Return why exports leave out a model while the gate is on, or None. The text continues the account's name."""
    if comparison is None:
        return _NOT_COMPARED
    if comparison.model != model:
        return _OTHER_MODEL
    if comparison.accepted_by is not None or comparison.verdict is ComparisonVerdict.ALIKE:
        return None
    if comparison.verdict is None:
        return _NOT_COMPARED
    predicate, reasons = _PREDICATES[comparison.verdict], "; ".join(comparison.reasons)
    return f"{predicate}: {reasons}" if reasons else predicate


def apply_acceptances(
    document: Mapping[str, Any], models: Iterable[ModelToAsk], acceptances: Iterable[ModelAcceptance]
) -> dict[str, Any]:
    """Return the result document with the operators who accepted its models, and with what follows from that."""
    tuned = _list_tuned_models(models)
    accepted_by = {each.account: each.accepted_by for each in acceptances if tuned.get(each.account) == each.model}
    accounts = [each | {"accepted_by": accepted_by.get(each["account"])} for each in document["accounts"]]
    is_failing = (each["verdict"] in FAILING_VERDICTS and each["accepted_by"] is None for each in accounts)
    return {**document, "passed": not any(is_failing), "accounts": accounts}


def _list_tuned_models(models: Iterable[ModelToAsk]) -> dict[str, str]:
    """Return the fine-tuned models by account. Of an early comparison only what its calls named is known."""
    return {each.account: each.fine_tuned_model or each.model for each in models if not each.is_base}
