"""The plan of a stored comparison: its price is that of the answers which the comparison allows."""

from __future__ import annotations

import pytest
from store_values import RUN

from orchestrator.core.account import Account, ProviderName
from orchestrator.core.comparison.comparison import Comparison, ComparisonSettings, ComparisonState, ModelToAsk
from orchestrator.core.comparison.probe import Probe, ProbeKind
from orchestrator.core.comparison.request_plan import InferencePrice
from orchestrator.daemon.comparisons.comparison_planner import build_plan, plan_comparison

PRICE = InferencePrice(usd_per_million_input_tokens=0.0, usd_per_million_output_tokens=10.0)
PROBE = Probe(
    probe_id="p1",
    prompt_id="q1",
    kind=ProbeKind.HELD_OUT,
    messages="[]",
    reference="short",
    stratum=(False, 1, 1),
)


@pytest.mark.parametrize("max_output_tokens", [4, 4096])
def test_price_counts_the_chosen_length_of_answers(max_output_tokens: int) -> None:
    """Whoever confirms the price confirms this one: references that are shorter or longer do not matter."""
    models = tuple(
        ModelToAsk(
            name=name, account=name, group="openai m", model=f"ft:{name}", base_url="https://x/v1", price=PRICE
        )
        for name in ("acme", "globex")
    )
    comparison = Comparison(
        id="c1",
        run_id="r1",
        state=ComparisonState.ASKING,
        created_at=0.0,
        created_by="operator:ada",
        settings=ComparisonSettings(max_output_tokens=max_output_tokens, max_usd=0.1),
        models=models,
        probe_set="0" * 64,
        probe_ids=(PROBE.probe_id,),
        max_output_tokens=max_output_tokens,
    )
    plan = build_plan(comparison, [PROBE])
    assert plan.max_output_tokens == max_output_tokens
    assert plan.usd == pytest.approx(2 * 2 * max_output_tokens * 10 / 1e6)
    assert (plan.find_obstacle() is not None) is (max_output_tokens == 4096)


@pytest.mark.parametrize(
    ("providers", "is_scored"),
    [
        ((ProviderName.TOGETHER, ProviderName.TOGETHER), True),
        ((ProviderName.TOGETHER, ProviderName.FIREWORKS), False),
        ((ProviderName.OPENAI, ProviderName.OPENAI), False),
    ],
)
def test_references_are_scored_only_where_every_account_offers_it(
    providers: tuple[ProviderName, ...], is_scored: bool
) -> None:
    accounts = {
        f"acme-{number}": Account(name=f"acme-{number}", provider=provider, api_key="env:KEY")
        for number, provider in enumerate(providers)
    }
    comparison = plan_comparison(
        RUN,
        [],
        [PROBE],
        ComparisonSettings(),
        accounts=accounts,
        deployments={},
        find_price=lambda *_: PRICE,
        now=0.0,
        cause="operator:ada",
        deploying=[
            ModelToAsk(name=name, account=name, group=f"{each.provider} m", model="m", base_url="", price=PRICE)
            for name, each in accounts.items()
        ],
    )
    tuned = [model for model in comparison.models if not model.is_base]
    assert [model.scores_references for model in tuned] == [is_scored] * 2
    assert not any(model.scores_references for model in comparison.models if model.is_base)
    requests = {each.name: each.requests for each in build_plan(comparison, [PROBE]).estimates}
    assert requests["acme-0"] == (3 if is_scored else 2)
