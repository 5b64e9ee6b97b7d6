"""Checkpoints: their order, their losses, and which one is chosen."""

from __future__ import annotations

import pytest

from orchestrator.core.jobs.checkpoint import MAX_CHECKPOINTS, Checkpoint, find_checkpoint, number_checkpoints
from orchestrator.core.jobs.loss import MAX_STEP, Loss
from orchestrator.core.structs import replace


def kept(step: int, training: float | None = None, validation: float | None = None) -> Checkpoint:
    return Checkpoint(
        id=f"ckpt-{step}", step=step, model=f"m:{step}", training_loss=training, validation_loss=validation
    )


def test_checkpoints_are_numbered_by_step_once_each() -> None:
    reported = [
        kept(30),
        kept(10, 0.9),
        kept(20),
        replace(kept(20), model="other"),
        replace(kept(40), model=""),
        kept(-1),
        kept(2**31),
    ]
    numbered = number_checkpoints(reported)
    assert [(each.number, each.step, each.model) for each in numbered] == [
        (1, 10, "m:10"),
        (2, 20, "other"),
        (3, 30, "m:30"),
    ]
    assert number_checkpoints(numbered) == numbered


def test_missing_losses_come_from_the_curve_and_strange_ones_are_dropped() -> None:
    curve = [Loss(10, 0.5, 0.7), Loss(20, 0.4), Loss(25, 0.1)]
    one, two, three = number_checkpoints([kept(10, 0.9), kept(20, float("nan"), 0.6), kept(30, float("inf"))], curve)
    assert (one.training_loss, one.validation_loss) == (0.9, 0.7)
    assert (two.training_loss, two.validation_loss) == (0.4, 0.6)
    assert (three.training_loss, three.validation_loss) == (None, None)


def test_number_of_checkpoints_is_limited_to_the_latest() -> None:
    numbered = number_checkpoints(kept(step) for step in range(1, MAX_CHECKPOINTS + 10))
    assert (len(numbered), numbered[0].step, numbered[-1].number) == (MAX_CHECKPOINTS, 10, MAX_CHECKPOINTS)


@pytest.mark.parametrize(
    ("losses", "best"),
    [
        ([(0.9, 0.5), (0.5, 0.4), (0.1, 0.6)], 2),  # training loss falls on while validation loss rises
        ([(0.9, None), (0.5, None), (0.1, None)], 3),
        ([(0.1, None), (0.5, 0.4), (0.4, 0.4)], 2),  # a validation loss is compared with its like only
        ([(None, None), (None, None)], None),
        ([], None),
    ],
)
def test_best_has_the_lowest_validation_loss(
    losses: list[tuple[float | None, float | None]], best: int | None
) -> None:
    numbered = number_checkpoints(kept(10 * n, *pair) for n, pair in enumerate(losses, 1))
    found = find_checkpoint(numbered, "best")
    assert (found and found.number) == best


def test_checkpoint_is_found_by_number_id_and_model() -> None:
    numbered = number_checkpoints([kept(10), kept(20)])
    for choice in ("2", "ckpt-20", "m:20"):
        assert find_checkpoint(numbered, choice) == numbered[1]
    for choice in ("0", "3", "-1", "20", "", "02"):
        assert find_checkpoint(numbered, choice) is None


def test_first_and_last_possible_step_are_kept() -> None:
    numbered = number_checkpoints([kept(0, 0.5), kept(MAX_STEP), kept(MAX_STEP + 1)])
    assert [(each.step, each.training_loss) for each in numbered] == [(0, 0.5), (MAX_STEP, None)]


@pytest.mark.parametrize(
    ("epoch", "stored"), [(None, None), (0, 0), (2, 2), (MAX_STEP, MAX_STEP), (-1, None), (MAX_STEP + 1, None)]
)
def test_epoch_outside_of_the_possible_range_is_dropped(epoch: int | None, stored: int | None) -> None:
    (numbered,) = number_checkpoints([replace(kept(10), epoch=epoch)])
    assert numbered.epoch == stored


def test_checkpoint_of_the_curve_alone_has_the_losses_of_its_own_step() -> None:
    curve = [Loss(10, 0.5, 0.7), Loss(20, 0.4, 0.6)]
    first, second = number_checkpoints([kept(10), kept(20, 0.3)], curve)
    assert (first.training_loss, first.validation_loss) == (0.5, 0.7)
    assert (second.training_loss, second.validation_loss) == (0.3, 0.6)
