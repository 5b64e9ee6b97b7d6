"""Parameters that a model refuses are left out, as few as possible."""

from __future__ import annotations

import asyncio

import pytest

from orchestrator.core.comparison.answer import AnswerOutcome
from orchestrator.core.errors import RemoteNotFound, RequestRejected
from orchestrator.core.inference import ChatReply, OptionalParameter
from orchestrator.providers.chat.refused_parameters import ask_without_refused

SENT = list(OptionalParameter)


class PickyModel:
    """Refuses questions that have one of some parameters."""

    def __init__(self, *refused: OptionalParameter) -> None:
        self.refused = frozenset(refused)
        self.calls = 0

    async def ask(self, left_out: frozenset[OptionalParameter]) -> ChatReply:
        self.calls += 1
        if not self.refused <= left_out:
            raise RequestRejected(f"400: call {self.calls}")
        return ChatReply(outcome=AnswerOutcome.ANSWERED, left_out=left_out)


def ask(model: PickyModel) -> ChatReply:
    return asyncio.run(ask_without_refused(model.ask, SENT))


def test_nothing_is_left_out_for_a_model_that_accepts_everything() -> None:
    model = PickyModel()
    assert ask(model).left_out == frozenset()
    assert model.calls == 1


@pytest.mark.parametrize("parameter", OptionalParameter)
def test_only_the_refused_parameter_is_left_out(parameter: OptionalParameter) -> None:
    assert ask(PickyModel(parameter)).left_out == {parameter}


def test_two_refused_parameters() -> None:
    left_out = ask(PickyModel(OptionalParameter.LOGPROBS, OptionalParameter.SEED)).left_out
    assert {OptionalParameter.LOGPROBS, OptionalParameter.SEED} <= left_out
    assert OptionalParameter.TEMPERATURE not in left_out


def test_first_refusal_is_reported_if_nothing_helps() -> None:
    class Broken(PickyModel):
        async def ask(self, left_out: frozenset[OptionalParameter]) -> ChatReply:
            self.calls += 1
            raise RequestRejected(f"400: call {self.calls}")

    model = Broken()
    with pytest.raises(RequestRejected, match=r"call 1$"):
        ask(model)
    assert model.calls == 2 * len(SENT)


def test_missing_model_is_not_asked_again() -> None:
    class Missing(PickyModel):
        async def ask(self, left_out: frozenset[OptionalParameter]) -> ChatReply:
            self.calls += 1
            raise RemoteNotFound("404")

    model = Missing()
    with pytest.raises(RemoteNotFound):
        ask(model)
    assert model.calls == 1
