"""Checkpoints: models that a provider kept during a training, besides the final one, with their losses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from orchestrator.core.jobs.loss import MAX_STEP, Loss, merge_curves, parse_loss
from orchestrator.core.structs import Struct, replace

MAX_CHECKPOINTS: Final = 100  # stored for a job: providers keep one for each epoch, and an epoch is limited to 50
BEST_CHECKPOINT: Final = "best"


class Checkpoint(Struct, frozen=True, kw_only=True):
    """A model that the provider kept. None: the provider does not report it."""

    id: str  # the provider's id of the checkpoint
    step: int  # after which it was kept
    model: str  # what is called, or deployed, as this checkpoint
    epoch: int | None = None
    training_loss: float | None = None
    validation_loss: float | None = None
    number: int = 0  # 1 is the earliest; given by `number_checkpoints`

    @property
    def loss(self) -> float | None:
        """The loss by which checkpoints are compared: of examples that were not trained on, if it is known."""
        return self.training_loss if self.validation_loss is None else self.validation_loss


def number_checkpoints(reported: Iterable[Checkpoint], curve: Iterable[Loss] = ()) -> list[Checkpoint]:
    """Order the checkpoints by step and number them, the latest MAX_CHECKPOINTS of them.

    A loss that the provider does not report with a checkpoint is taken from the job's curve. Losses that are not
    numbers are dropped.
    """
    losses = {loss.step: loss for loss in curve}
    by_step = {each.step: each for each in reported if each.id and each.model and 0 <= each.step <= MAX_STEP}
    kept = [by_step[step] for step in sorted(by_step)][-MAX_CHECKPOINTS:]
    return [replace(_with_losses(each, losses.get(each.step)), number=number) for number, each in enumerate(kept, 1)]


def find_checkpoint(checkpoints: Sequence[Checkpoint], choice: str) -> Checkpoint | None:
    """Return the checkpoint with a number or an id, or for "best" the one with the lowest loss; None: there is none.

    The lowest validation loss counts. Training losses decide only if no checkpoint has a validation loss, because
    they become lower with every epoch. Of equal losses the earlier one is chosen.
    """
    if choice != BEST_CHECKPOINT:
        return next((each for each in checkpoints if choice in (str(each.number), each.id, each.model)), None)
    validated = [each for each in checkpoints if each.validation_loss is not None]
    compared = validated or [each for each in checkpoints if each.training_loss is not None]
    return min(compared, key=lambda each: (each.loss, each.step), default=None)


def _with_losses(checkpoint: Checkpoint, known: Loss | None) -> Checkpoint:
    reported = parse_loss(max(checkpoint.step, 1), checkpoint.training_loss, checkpoint.validation_loss)
    (merged,) = merge_curves(*([replace(each, step=0)] for each in (known, reported or Loss(0)) if each))
    epoch = checkpoint.epoch if checkpoint.epoch is None or 0 <= checkpoint.epoch <= MAX_STEP else None
    return replace(checkpoint, training_loss=merged.training, validation_loss=merged.validation, epoch=epoch)
