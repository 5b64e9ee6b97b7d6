"""Reads losses from the training log of DashScope, whose lines are texts.

A record of the training is a line with a dictionary in Python's notation, such as
`{'loss': 1.27, 'learning_rate': 9e-06, 'epoch': 0.5}`. Its other lines are messages. The documentation shows the
summary at the end of a log and not the records before it, so names and steps are taken as the trainers behind the
service print them: if a record has no step, it gets the number of the record.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from orchestrator.core.jobs.loss import Loss, parse_loss

MAX_LINE_CHARACTERS: Final = 2000
_VALUE = re.compile(r"""['"](loss|eval_loss|step|global_step|global_step/max_steps)['"]:\s*['"]?([-+.0-9eE]{1,30})""")
STEP_NAMES: Final = ("global_step/max_steps", "global_step", "step")


def parse_losses(lines: Iterable[object]) -> list[Loss]:
    """Return the losses in the lines of a whole log, in their order. Other lines are ignored."""
    losses, number = [], 0
    for line in lines:
        values = _parse_record(line)
        training, validation = values.get("loss"), values.get("eval_loss")
        if training is not None:
            number += 1
        step = next((values[name] for name in STEP_NAMES if name in values), float(max(number, 1)))
        if loss := parse_loss(step, training, validation):
            losses.append(loss)
    return losses


def _parse_record(line: object) -> dict[str, float]:
    """Return the numbers of a record; none for another line."""
    text = line.strip() if isinstance(line, str) else ""
    if not text.startswith("{") or len(text) > MAX_LINE_CHARACTERS:
        return {}
    values = {}
    for name, number in _VALUE.findall(text):
        try:
            values[name] = float(number)
        except ValueError:
            continue
    return values
