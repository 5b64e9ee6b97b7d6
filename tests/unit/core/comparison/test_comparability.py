"""Obstacles: which accounts are not comparable, and at which share of errors."""

from __future__ import annotations

import pytest

from orchestrator.core.comparison.answer import AnswerOutcome, ModelAnswer, ModelAnswers
from orchestrator.core.comparison.comparability import Obstacle, find_obstacles

ERROR = ModelAnswer(outcome=AnswerOutcome.ERROR)


def answer(prompt_tokens: int | None = 50) -> ModelAnswer:
    return ModelAnswer(outcome=AnswerOutcome.ANSWERED, text="yes", prompt_tokens=prompt_tokens)


def create_model(
    account: str, *rounds: dict[str, ModelAnswer], group: str = "openai gpt", serving: str | None = None
) -> ModelAnswers:
    return ModelAnswers(account=account, group=group, serving=serving, rounds=rounds)


def create_served(*servings: str | None, group: str = "openai gpt") -> list[ModelAnswers]:
    return [
        create_model(f"{group} {number}", {"p": answer()}, group=group, serving=serving)
        for number, serving in enumerate(servings)
    ]


@pytest.mark.parametrize(
    ("errors", "obstacle"),
    [(0, None), (1, None), (2, Obstacle.ERRORS), (19, Obstacle.ERRORS), (20, Obstacle.NO_ANSWERS)],
)
def test_one_error_of_twenty_calls_is_allowed(errors: int, obstacle: Obstacle | None) -> None:
    answers = [ERROR] * errors + [answer()] * (20 - errors)
    rounds = [{f"p{number}": each for number, each in enumerate(part)} for part in (answers[:10], answers[10:])]
    assert find_obstacles([create_model("acme", *rounds)]).get("acme") is obstacle


def test_account_without_calls_has_no_answers() -> None:
    models = [create_model("acme"), create_model("globex", {}), create_model("late", {"p": answer()})]
    assert find_obstacles(models) == {"acme": Obstacle.NO_ANSWERS, "globex": Obstacle.NO_ANSWERS}


@pytest.mark.parametrize(
    ("servings", "not_comparable"),
    [
        (["bf16", "bf16", "fp8"], [2]),
        (["fp8", "bf16", "bf16", "bf16"], [0]),
        (["bf16", "fp8"], [0, 1]),  # nothing tells which is right
        (["bf16", "bf16", "fp8", "fp8"], [0, 1, 2, 3]),
        (["bf16", "fp8", "int4"], [0, 1, 2]),
        (["bf16", "bf16"], []),
        ([None, "bf16", None], []),  # not reported is not different
        ([None, None], []),
    ],
)
def test_accounts_outside_of_the_majority_are_not_comparable(
    servings: list[str | None], not_comparable: list[int]
) -> None:
    models = create_served(*servings)
    expected = {models[number].account: Obstacle.SERVING for number in not_comparable}
    assert find_obstacles(models) == expected


def test_groups_are_checked_on_their_own() -> None:
    models = [*create_served("bf16", "bf16"), *create_served("fp8", "fp8", "bf16", group="together llama")]
    assert find_obstacles(models) == {"together llama 2": Obstacle.SERVING}


def test_unequal_prompt_tokens_of_one_probe_in_any_round_are_an_obstacle() -> None:
    equal = {"p": answer(50), "q": answer(70)}
    models = [
        create_model("one", equal, equal),
        create_model("two", equal, equal),
        create_model("first", {"p": answer(50), "q": answer(71)}),
        create_model("second", {"p": answer(50)}, {"q": answer(71)}),
        create_model("unknown", {"p": answer(None), "q": answer(None)}),
        create_model("three", equal),
    ]
    assert find_obstacles(models) == {"first": Obstacle.PROMPT_TOKENS, "second": Obstacle.PROMPT_TOKENS}


def test_first_reason_is_kept_and_failed_accounts_do_not_vote() -> None:
    models = [
        create_model("failed", {"p": ERROR}, serving="fp8"),
        create_model("failed too", {"p": ERROR}, serving="fp8"),
        create_model("one", {"p": answer(50)}, serving="bf16"),
        create_model("two", {"p": answer(50)}, serving="bf16"),
        create_model("both", {"p": answer(51)}, serving="fp8"),
    ]
    assert find_obstacles(models) == {
        "failed": Obstacle.NO_ANSWERS,
        "failed too": Obstacle.NO_ANSWERS,
        "both": Obstacle.SERVING,
    }
