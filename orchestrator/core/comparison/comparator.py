"""Compares the fine-tuned models of a run: answers in, verdicts out, without any call.

The weights of two fine-tunes are never equal, so no test for equality is made: it would reject harmless differences
of training nearly always. Each account is compared with the others in four respects: rates of events, quality,
length, and whether it is farther from the others than they are from each other. Serving noise is measured by the two
rounds of each model (floor), the effect of the training by the untuned base model (ceiling).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean, median
from typing import Final

from orchestrator.core.comparison.answer import AnswerRound, ModelAnswers
from orchestrator.core.comparison.behaviour import BehaviourProfile, measure_behaviour
from orchestrator.core.comparison.comparability import find_obstacles
from orchestrator.core.comparison.distances.distance import DistanceMeasure, choose_measure
from orchestrator.core.comparison.distances.distance_table import (
    DistanceTable,
    GroupDistances,
    build_group_distances,
    mean_known,
)
from orchestrator.core.comparison.language.language_checker import LanguageChecker
from orchestrator.core.comparison.measurement import (
    RATE_KINDS,
    ComparisonMargins,
    Conclusion,
    Measurement,
    MeasurementKind,
)
from orchestrator.core.comparison.quality import AnswerScorer, ScoringMethod
from orchestrator.core.comparison.rates import list_answer_lengths, list_event_rates
from orchestrator.core.comparison.reference_loss import list_reference_logprobs
from orchestrator.core.comparison.standout import measure_group_distances
from orchestrator.core.comparison.verdict import ComparisonGate, decide_verdict
from orchestrator.core.structs import Struct, field

MIN_TUNING_EFFECT: Final = 0.05  # with less between ceiling and floor, a relative spread means nothing
_QUALITY_GAIN_SHARE: Final = 0.25
_UNSTEADY_FACTOR: Final = 2
_UNSTEADY_DISTANCE: Final = 0.1


class ComparisonInput(Struct, frozen=True, kw_only=True):
    """Everything that a comparison is computed from. The same input gives the same result."""

    models: Sequence[ModelAnswers]
    references: Mapping[str, str]  # reference answer by probe; probes without one are not scored
    probe_ids: Sequence[str]
    bases: Mapping[str, AnswerRound] = field(default_factory=dict)  # answers of the untuned base model by group
    scoring: ScoringMethod = ScoringMethod.TEXT
    margins: ComparisonMargins = field(default_factory=ComparisonMargins)


class GroupSummary(Struct, frozen=True, kw_only=True):
    """The yardsticks of one group: all distances are medians in 0 to 1."""

    group: str
    accounts: tuple[str, ...]
    floor: float  # a model to itself between rounds
    spread: float  # two models
    ceiling: float | None  # a model to the untuned base model
    relative_spread: float | None  # (spread - floor) / (ceiling - floor); None: training changed next to nothing
    explained: float | None  # R²


class ComparisonResult(Struct, frozen=True, kw_only=True):
    """The result of a comparison."""

    gate: ComparisonGate
    groups: tuple[GroupSummary, ...]
    measure: DistanceMeasure
    distances: Mapping[tuple[str, str], float]  # mean distance of each pair of accounts of one group


def compare_models(given: ComparisonInput) -> ComparisonResult:
    """Compare the models and decide on each account."""
    obstacles = find_obstacles(given.models)
    models = [model for model in given.models if model.account not in obstacles]
    measure = choose_measure(list(given.references.values()))
    groups = _measure_groups(given, models, measure)
    measurements = _list_all_measurements(given, models, groups, is_json=measure is DistanceMeasure.FIELD)
    unsteady = {account for each in groups.values() for account in _list_unsteady(each.distances)}
    alone = {each.distances.accounts[0] for each in groups.values() if len(each.distances.accounts) == 1}
    verdicts = [
        decide_verdict(
            model.account,
            measurements.get(model.account, ()),
            obstacle=obstacles.get(model.account),
            is_unsteady=model.account in unsteady,
            is_alone=model.account in alone,
        )
        for model in given.models
    ]
    return ComparisonResult(
        gate=ComparisonGate(tuple(verdicts)),
        groups=tuple(_summarise_group(name, each) for name, each in groups.items()),
        measure=measure,
        distances={
            pair: mean_known(values) for each in groups.values() for pair, values in each.distances.pairs.items()
        },
    )


def _measure_groups(
    given: ComparisonInput, models: Sequence[ModelAnswers], measure: DistanceMeasure
) -> dict[str, GroupDistances]:
    members: dict[str, list[ModelAnswers]] = {}
    for model in models:
        members.setdefault(model.group, []).append(model)
    return {
        group: build_group_distances(given.probe_ids, each, given.bases.get(group), measure)
        for group, each in members.items()
    }


def _list_all_measurements(
    given: ComparisonInput,
    models: Sequence[ModelAnswers],
    groups: Mapping[str, GroupDistances],
    *,
    is_json: bool,
) -> dict[str, list[Measurement]]:
    """Return the measurements of each comparable account; none if there is no other account to compare it with."""
    if len(models) < 2:
        return {}
    distances: dict[str, list[Measurement]] = {}
    for group in groups.values():
        distances |= measure_group_distances(group, given.margins)
    suspects = {
        account for account, each in distances.items() if any(one.conclusion is Conclusion.DIFFERENT for one in each)
    }
    behaviour = measure_behaviour(_build_profile(given, models, is_json=is_json), suspects)
    return {account: each + distances.get(account, []) for account, each in behaviour.items()}


def _build_profile(given: ComparisonInput, models: Sequence[ModelAnswers], *, is_json: bool) -> BehaviourProfile:
    scorer = AnswerScorer(given.scoring)
    scores = {model.account: scorer.score_rounds(model.rounds, given.references) for model in models}
    gains = {group: _measure_gain(given, scorer, scores, group) for group in {model.group for model in models}}
    kinds = [kind for kind in RATE_KINDS if is_json or kind is not MeasurementKind.INVALID_FORMAT]
    return BehaviourProfile(
        scores=scores if given.references else {},
        likelihoods=list_reference_logprobs(models),
        rates=list_event_rates(models, kinds, LanguageChecker(models, given.references, given.probe_ids)),
        lengths={model.account: list_answer_lengths(model) for model in models},
        quality_margins={
            model.account: max(given.margins.quality, _QUALITY_GAIN_SHARE * gains[model.group]) for model in models
        },
        likelihood_margin=given.margins.likelihood,
        rate_margin=given.margins.rate,
    )


def _measure_gain(
    given: ComparisonInput, scorer: AnswerScorer, scores: Mapping[str, Mapping[str, float]], group: str
) -> float:
    """Return how much better the fine-tuned models score than the base model of the group, 0 if it is unknown."""
    base = given.bases.get(group)
    if base is None:
        return 0.0
    untuned = scorer.score_rounds([base], given.references)
    tuned = [scores[model.account] for model in given.models if model.group == group and model.account in scores]
    gains = [each[probe_id] - score for probe_id, score in untuned.items() for each in tuned if probe_id in each]
    return fmean(gains) if gains else 0.0


def _list_unsteady(table: DistanceTable) -> list[str]:
    """List the accounts whose own answers differ between rounds by more than 0.1 and twice the median floor."""
    floors = {account: mean_known(values) for account, values in table.floors.items()}
    limit = max(_UNSTEADY_FACTOR * median(floors.values()), _UNSTEADY_DISTANCE) if floors else 0.0
    return [account for account, floor in floors.items() if floor > limit]


def _summarise_group(name: str, group: GroupDistances) -> GroupSummary:
    floor, spread = group.distances.calculate_floor(), group.distances.calculate_spread()
    ceiling = group.distances.calculate_ceiling()
    effect = ceiling - floor if ceiling is not None else 0.0
    return GroupSummary(
        group=name,
        accounts=tuple(group.distances.accounts),
        floor=floor,
        spread=spread,
        ceiling=ceiling,
        relative_spread=(spread - floor) / effect if effect >= MIN_TUNING_EFFECT and group.distances.pairs else None,
        explained=group.explained,
    )
