from __future__ import annotations

from typing import Any

import pytest
from core_values import DATASET, NOW, SPEC, a_run, an_account

from orchestrator.core.account import ProviderName
from orchestrator.core.dataset import Dataset
from orchestrator.core.moderation import Moderation, ModerationStatus
from orchestrator.core.plans.rerun import Rerun, plan_rerun
from orchestrator.core.structs import replace

OPENAI, TOGETHER, NEBIUS = ProviderName.OPENAI, ProviderName.TOGETHER, ProviderName.NEBIUS
PASSED = Moderation(state=ModerationStatus.PASSED, by="acme", at=NOW)
THERE = an_account("tom", provider=TOGETHER)


def rerun(
    provider: ProviderName = TOGETHER, *, base_model: str | None = "qwen", accounts: Any = (THERE,), **spec: Any
) -> Rerun:
    run = a_run(specs={OPENAI: replace(SPEC, **spec)}, moderation=PASSED)
    return plan_rerun(run, DATASET, provider, base_model, accounts)


def test_equivalent_options_are_carried_over() -> None:
    plan = rerun(batch_size=4)
    assert (plan.options, plan.base_model, plan.missing) == ({"n_epochs": 3, "batch_size": 4}, "qwen", ())
    assert plan.moderation_waived == "the same texts in run fedcba9876543210: passed by acme"


def test_only_required_options_are_missing() -> None:
    plan = rerun(base_model=None, accounts=())
    assert plan.base_model is None
    assert [lack.partition(":")[0] for lack in plan.missing] == [
        "a base model that together trains",
        "an account at together",
    ]


def test_option_without_an_equivalent_is_reported_and_left_out() -> None:
    plan = rerun(learning_rate_multiplier=2.0)
    assert "learning_rate_multiplier" not in plan.options
    assert plan.missing == ()
    assert plan.notes[0].startswith("learning_rate_multiplier = 2.0 has no fixed counterpart: learning_rate is")
    assert any("dedicated endpoint" in note for note in plan.notes)


def test_a_method_that_is_not_there_is_missing() -> None:
    assert "supports the method dpo: nebius does not" in " ".join(rerun(NEBIUS, method="dpo").missing)
    assert rerun(method="dpo").options["method"] == "dpo"


def test_rerun_at_the_same_provider_keeps_every_option() -> None:
    plan = rerun(OPENAI, base_model=None, learning_rate_multiplier=2.0)
    assert plan.base_model == SPEC.base_model
    assert plan.options == {"n_epochs": 3, "learning_rate_multiplier": 2.0}
    assert plan.missing == ()


@pytest.mark.parametrize(
    "record", [None, Moderation(state=ModerationStatus.MISSING, by="service", at=NOW, reason="none")]
)
def test_unmoderated_texts_still_need_moderation(record: Moderation | None) -> None:
    plan = plan_rerun(a_run(moderation=record), DATASET, TOGETHER, "qwen", (THERE,))
    assert ["moderation" in lack for lack in plan.missing] == [True]


def test_dataset_refused_by_the_provider_is_reported() -> None:
    large = Dataset(training=replace(DATASET.training, bytes=600_000_000, examples=3))
    plan = plan_rerun(a_run(moderation=PASSED), large, NEBIUS, "llama", (THERE,))
    assert [lack.split(";")[0] for lack in plan.missing] == [
        "at least 10 examples",
        "a file of at most 512,000,000 bytes",
    ]


def test_seed_is_reported_where_the_provider_has_none() -> None:
    fireworks = ProviderName.FIREWORKS
    assert "fireworks has no seed" in rerun(fireworks, seed=42).notes
    assert "fireworks has no seed" not in rerun(fireworks, seed=None).notes
    assert "together has no seed" not in rerun(seed=42).notes


def test_validation_file_is_reported_as_not_sent_only_where_there_is_one() -> None:
    held_out = replace(DATASET, validation=DATASET.training)
    for dataset, is_noted in [(DATASET, False), (held_out, True)]:
        plan = plan_rerun(a_run(moderation=PASSED), dataset, TOGETHER, "qwen", (THERE,))
        assert any("the validation file is not sent" in note for note in plan.notes) is is_noted
