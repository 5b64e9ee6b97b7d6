"""The plan of a stored comparison: its price is that of the answers which the comparison allows."""

from __future__ import annotations

import pytest

from orchestrator.core.comparison.comparison import Comparison, ComparisonSettings, ComparisonState, ModelToAsk
from orchestrator.core.comparison.probe import Probe, ProbeKind
from orchestrator.core.comparison.request_plan import InferencePrice
from orchestrator.daemon.comparisons.comparison_planner import build_plan

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
