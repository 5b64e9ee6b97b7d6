from __future__ import annotations

import pytest

from orchestrator.core.jobs.loss import Loss, merge_curves
from orchestrator.providers.dashscope.training_log import parse_losses

SUMMARY = (
    "{'train_runtime': 216.3999, 'train_samples_per_second': 2.066, 'train_steps_per_second': 0.014, "
    "'train_loss': 0.9122632344563802, 'epoch': 0.8571428571428571}"
)


def test_records_with_their_step_are_read() -> None:
    lines = [
        "2024-10-29 17:03:47,719 - INFO - start to train",
        "{'loss': 1.5, 'token_acc': 0.6, 'grad_norm': 2.1, 'global_step/max_steps': '5/20', 'percentage': '25.00%'}",
        "{'eval_loss': 1.4, 'global_step/max_steps': '5/20'}",
        '{"loss": 1.25, "step": 10}',
        SUMMARY,
        " Fine-tune succeeded!",
    ]
    assert merge_curves(parse_losses(lines)) == [Loss(5, 1.5, 1.4), Loss(10, 1.25)]


def test_records_without_a_step_are_numbered() -> None:
    lines = [
        "{'loss': 1.5, 'learning_rate': 1e-05, 'epoch': 0.25}",
        " Uploaded checkpoint!",
        "{'loss': 9e-1, 'learning_rate': 1e-06, 'epoch': 0.5}",
        "{'eval_loss': 1.1, 'eval_runtime': 3.2, 'epoch': 0.5}",
        "{'loss': 0.75, 'epoch': 0.75}",
    ]
    assert merge_curves(parse_losses(lines)) == [Loss(1, 1.5), Loss(2, 0.9, 1.1), Loss(3, 0.75)]


def test_number_that_cannot_be_read_does_not_hide_the_others() -> None:
    assert parse_losses(["{'loss': 1.5.2, 'eval_loss': 1.25, 'step': 3}"]) == [Loss(3, None, 1.25)]


@pytest.mark.parametrize(
    "line",
    [
        SUMMARY,
        "the loss is {'loss': 1.5}",
        "{'loss': nan}",
        "{'loss': 1.5.2}",
        "{'loss': 1e999, 'step': 1}",
        "{'loss': 1.5, 'step': 0}",
        "{'loss': 1.5, " + "'x': 1, " * 1000 + "}",
        "{'loss'",
        {"loss": 1.5},
        None,
        7,
    ],
)
def test_other_line_is_ignored(line: object) -> None:
    assert parse_losses([line]) == []
