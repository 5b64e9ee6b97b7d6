"""Requests the log-probability of the reference answers, where all models of a comparison offer it.

It happens once, between the rounds. The measure counts only if every account has it, so the first model that does not
report it, or cannot be called, ends the scoring of all; so does a limit in US dollars, which the second round needs
more.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence

from orchestrator.core.comparison.probe import Probe
from orchestrator.core.comparison.request_plan import CALLS_PER_MODEL
from orchestrator.core.inference import ReferenceQuestion, ReferenceScore
from orchestrator.core.structs import Struct, field
from orchestrator.daemon.comparisons.model_asker import ModelAsker
from orchestrator.store.queries.comparisons.comparison_records import StoredAnswer

SendReference = Callable[[ModelAsker, str, ReferenceQuestion], Awaitable[ReferenceScore | None]]
"""Sends a question about the probe with this id; None if it may not be sent, or failed."""


class ReferenceScorer(Struct):
    """Scores the reference answers of one comparison. `scores` are by model and probe; None: it has no value."""

    askers: Sequence[ModelAsker]
    probes: Sequence[Probe]
    answers: Mapping[tuple[str, str, int], StoredAnswer]  # of the first round
    scores: Mapping[str, dict[str, float | None]]
    send: SendReference
    _is_ended: bool = field(default=False)

    async def score_everything(self) -> None:
        """Score what has no value yet. Nothing is sent if one of the models cannot be called."""
        if not self.askers or any(asker.unavailable is not None for asker in self.askers):
            return
        queues = [(asker, self._list_questions(asker)) for asker in self.askers]
        for asker, queue in queues:
            await self._score_next(asker, queue)
        async with asyncio.TaskGroup() as group:
            for asker, queue in queues:
                for _ in range(min(CALLS_PER_MODEL, len(queue))):
                    group.create_task(self._score_rest(asker, queue))

    async def _score_rest(self, asker: ModelAsker, queue: list[tuple[str, ReferenceQuestion]]) -> None:
        while queue and not self._is_ended:
            await self._score_next(asker, queue)

    async def _score_next(self, asker: ModelAsker, queue: list[tuple[str, ReferenceQuestion]]) -> None:
        if not queue or self._is_ended:
            return
        probe_id, question = queue.pop()
        score = await self.send(asker, probe_id, question)
        if score is None or not score.is_reported:
            self._is_ended = True
        else:
            self.scores[asker.model.name][probe_id] = score.mean_logprob

    def _list_questions(self, asker: ModelAsker) -> list[tuple[str, ReferenceQuestion]]:
        """List the questions of a model, with the lengths of the prompts as counted in the first round."""
        name, questions = asker.model.name, []
        for probe in self.probes:
            answer = self.answers.get((name, probe.probe_id, 1))
            if probe.reference is None or probe.probe_id in self.scores[name]:
                continue
            if answer is not None and answer.prompt_tokens is not None:
                question = ReferenceQuestion(
                    messages=json.loads(probe.messages),
                    reference=probe.reference,
                    prompt_tokens=answer.prompt_tokens,
                )
                questions.append((probe.probe_id, question))
        return questions
