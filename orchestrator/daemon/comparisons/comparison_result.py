"""Computes the result document of a comparison from its stored answers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from orchestrator.core.comparison.answer import AnswerOutcome, ModelAnswer, ModelAnswers
from orchestrator.core.comparison.comparator import ComparisonInput, compare_models
from orchestrator.core.comparison.comparison import Comparison
from orchestrator.core.comparison.distances.account_drift import EarlierAnswers, measure_account_drift
from orchestrator.core.comparison.document import ComparisonFacts, build_document
from orchestrator.core.comparison.probe import Probe
from orchestrator.core.comparison.request_plan import ROUNDS
from orchestrator.core.model_name import find_named_base_model
from orchestrator.core.structs import Struct, field

if TYPE_CHECKING:  # the child process needs no database
    from orchestrator.store.queries.comparisons.comparison_records import StoredAnswer


class ResultRequest(Struct, frozen=True, kw_only=True):
    """What the computation needs. It is sent to a child process, so it has plain values only."""

    given: ComparisonInput
    facts: ComparisonFacts
    earlier: Mapping[str, EarlierAnswers] = field(default_factory=dict)  # of the same models, by account


ComputeResult = Callable[[ResultRequest], Awaitable[dict[str, Any]]]
"""Computes the document outside the event loop."""


def compute_document(request: ResultRequest) -> dict[str, Any]:
    """Compute the verdicts. Takes seconds of CPU for a hundred accounts, so it must not block the event loop."""
    given = request.given
    result = compare_models(given)
    drift = measure_account_drift(given.models, request.earlier, given.probe_ids, result.measure)
    return build_document(result, request.facts, drift)


def build_result_request(
    comparison: Comparison,
    probes: Mapping[str, Probe],
    answers: Mapping[tuple[str, str, int], StoredAnswer],
    earlier: Mapping[str, EarlierAnswers] | None = None,
) -> ResultRequest:
    """Collect the answers by model and round. `answers` has them by the key of their request."""
    rounds = collect_rounds([answer for _, answer in sorted(answers.items())])
    tuned = [model for model in comparison.models if not model.is_base]
    bases = {model.group: rounds[model.name][0] for model in comparison.models if model.is_base}
    references = {
        probe_id: reference
        for probe_id in comparison.probe_ids
        if (reference := probes[probe_id].reference) is not None
    }
    given = ComparisonInput(
        models=[
            ModelAnswers(
                account=each.name,
                group=each.group,
                serving=find_named_base_model(each.fine_tuned_model or each.model),
                rounds=rounds[each.name],
                reference_logprobs={
                    probe_id: value for probe_id, value in each.reference_logprobs.items() if value is not None
                },
            )
            for each in tuned
        ],
        references=references,
        probe_ids=comparison.probe_ids,
        bases={group: each for group, each in bases.items() if _is_answered(each)},
        scoring=comparison.settings.scoring,
        margins=comparison.settings.margins,
    )
    facts = ComparisonFacts(
        run_id=comparison.run_id,
        probe_set=comparison.probe_set,
        probes=len(comparison.probe_ids),
        requests=comparison.requests,
        usd=comparison.spent_usd,
        hosting_usd=comparison.hosting_usd,
    )
    return ResultRequest(given=given, facts=facts, earlier=earlier or {})


def collect_rounds(answers: Iterable[StoredAnswer]) -> defaultdict[str, list[dict[str, ModelAnswer]]]:
    """Collect the answers by model and round; a model without answers has two empty rounds."""
    rounds: defaultdict[str, list[dict[str, ModelAnswer]]] = defaultdict(lambda: [{} for _ in range(ROUNDS)])
    for answer in answers:
        rounds[answer.model][answer.round - 1][answer.probe_id] = answer.to_answer()
    return rounds


def _is_answered(answers: Mapping[str, ModelAnswer]) -> bool:
    """Return whether a base model could be asked: where it needs a deployment of its own, every call fails."""
    return any(answer.outcome is not AnswerOutcome.ERROR for answer in answers.values())
