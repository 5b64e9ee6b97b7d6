"""A run whose models have been compared: invented models with a known truth, their answers and their verdicts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from comparison_worlds import World, create_input

from orchestrator.core.comparison.answer import AnswerOutcome, ModelAnswer
from orchestrator.core.comparison.comparator import ComparisonInput, compare_models
from orchestrator.core.comparison.comparison import Comparison, ComparisonSettings, ComparisonState, ModelToAsk
from orchestrator.core.comparison.document import ComparisonFacts, build_document
from orchestrator.core.comparison.probe import Probe, ProbeKind
from orchestrator.core.comparison.request_plan import InferencePrice
from orchestrator.core.structs import Struct, replace
from orchestrator.store.queries.comparisons.comparison_records import StoredAnswer

NOW = 1_795_000_000.0
RUN_ID = "run-1"
PRICE = InferencePrice(usd_per_million_input_tokens=0.4, usd_per_million_output_tokens=1.6)
BASE_MODEL = "base openai gpt"


class ComparedRun(Struct, frozen=True, kw_only=True):
    """What was stored."""

    comparison: Comparison
    probes: Mapping[str, Probe]
    answers: Sequence[StoredAnswer]

    @property
    def document(self) -> Mapping[str, Any]:
        assert self.comparison.result is not None
        return self.comparison.result


def create_compared_run(*worlds: World, names: Sequence[str] = ()) -> ComparedRun:
    """Compare all accounts of the first world, and the last account of each other one."""
    given = _rename(_join([create_input(world) for world in worlds]), names)
    prompts = {
        key: f"How do I get {reference} back after {number} days?"
        for number, (key, reference) in enumerate(given.references.items())
    }
    probes = {key: _create_probe(key, prompt, given.references[key]) for key, prompt in prompts.items()}
    answers = [*_list_answers(given), *_list_base_answers(given)]
    comparison = Comparison(
        id=f"c0ffee00{len(given.models):08}",
        run_id=RUN_ID,
        state=ComparisonState.FINISHED,
        created_at=NOW - 1300,
        created_by="operator:ada",
        settings=ComparisonSettings(probes=len(probes), max_usd=5.0),
        models=(*(_create_model(each.account) for each in given.models), _create_model(BASE_MODEL, is_base=True)),
        probe_set=sha256("".join(probes).encode()).hexdigest(),
        probe_ids=tuple(probes),
        max_output_tokens=64,
        requests=len(answers),
        spent_usd=0.4321,
        first_round_at=NOW - 1000,
        finished_at=NOW - 600,
    )
    facts = ComparisonFacts(
        run_id=RUN_ID,
        probe_set=comparison.probe_set,
        probes=len(probes),
        requests=len(answers),
        usd=comparison.spent_usd,
    )
    document = build_document(compare_models(given), facts)
    return ComparedRun(
        comparison=replace(comparison, result=json.loads(json.dumps(document))), probes=probes, answers=answers
    )


def _join(inputs: Sequence[ComparisonInput]) -> ComparisonInput:
    """Keep all accounts of the first world, and the last account of each other one under a name of its own."""
    first, *others = inputs
    added = [replace(each.models[-1], account=f"outlier-{number}") for number, each in enumerate(others, start=1)]
    return replace(first, models=[*first.models, *added])


def _rename(given: ComparisonInput, names: Sequence[str]) -> ComparisonInput:
    if not names:
        return given
    models = [replace(each, account=name) for each, name in zip(given.models, names, strict=True)]
    return replace(given, models=models)


def _create_model(name: str, *, is_base: bool = False) -> ModelToAsk:
    return ModelToAsk(
        name=name,
        account=name,
        group="openai gpt",
        model=f"ft:gpt:{name}",
        base_url="https://api.example.com/v1",
        is_base=is_base,
        price=PRICE,
    )


def _create_probe(probe_id: str, prompt: str, reference: str) -> Probe:
    messages = [{"role": "system", "content": "You answer briefly."}, {"role": "user", "content": prompt}]
    return Probe(
        probe_id=probe_id,
        prompt_id=probe_id,
        kind=ProbeKind.HELD_OUT,
        messages=json.dumps(messages),
        reference=reference,
        stratum=(True, 1, 3),
    )


def _list_answers(given: ComparisonInput) -> list[StoredAnswer]:
    return [
        _to_stored(model.account, probe_id, number, answer)
        for model in given.models
        for number, answers in enumerate(model.rounds, start=1)
        for probe_id, answer in answers.items()
    ]


def _list_base_answers(given: ComparisonInput) -> list[StoredAnswer]:
    [base] = given.bases.values()
    return [_to_stored(BASE_MODEL, probe_id, 1, answer) for probe_id, answer in base.items()]


def _to_stored(model: str, probe_id: str, number: int, answer: ModelAnswer) -> StoredAnswer:
    text = "I cannot help with that." if answer.outcome is AnswerOutcome.REFUSED_TEXT else answer.text
    text = "" if answer.outcome is AnswerOutcome.FILTERED_PROMPT else text
    return StoredAnswer(
        model=model,
        probe_id=probe_id,
        round=number,
        at=NOW - 900,
        outcome=answer.outcome,
        text=text,
        text_sha256=sha256(text.encode()).hexdigest(),
        prompt_tokens=answer.prompt_tokens,
        output_tokens=len(text) // 4,
        usd=0.0001,
        finish_reason="stop",
        message="503: no healthy upstream" if answer.outcome is AnswerOutcome.ERROR else None,
    )
