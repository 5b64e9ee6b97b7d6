"""Preference pairs for DPO: OpenAI's `input/preferred_output/non_preferred_output`, and `prompt/chosen/rejected`."""

from __future__ import annotations

from typing import Any

from orchestrator.dataset.codes import Code
from orchestrator.dataset.example import Fault, Steps
from orchestrator.dataset.formats.instruction import question_of
from orchestrator.dataset.formats.shape import Format, Placed, Shape, Turns, other_keys
from orchestrator.dataset.formats.sharegpt import is_answer, message_of, turn_keys
from orchestrator.dataset.formats.system import add_system

PROMPT_KEYS = ("prompt", "question", "instruction", "conversations", "messages")
ANSWER_KEYS = ("chosen", "rejected")
OUTPUTS = {"preferred_output": "chosen", "non_preferred_output": "rejected"}
HINT = (
    'Write {"input": {"messages": […]}, "preferred_output": [answer], "non_preferred_output": [answer]}, '
    "or prompt, chosen and rejected."
)


def preference(value: object) -> Shape | None:
    """A pair of answers to the same question."""
    if not isinstance(value, dict):
        return None
    if "preferred_output" in value or "non_preferred_output" in value:
        return Shape("preference", value)
    if "chosen" not in value or "rejected" not in value:
        return None
    if "prompt" not in value and _is_chat_with_ranks(value):
        return None
    return _pair(value)


def _is_chat_with_ranks(value: dict[str, Any]) -> bool:
    """Whether the row is a chat whose last answer is there already: the pair beside it is left out."""
    turns = value.get("conversations", value.get("messages"))
    answered = isinstance(turns, list) and bool(turns) and is_answer(turns[-1])
    return answered or ("instruction" in value and "output" in value)


def _pair(value: dict[str, Any]) -> Shape:
    """The question stands under a key of its own, or is the beginning that both answers have in common, or both."""
    systems = Turns()
    system_keys = add_system(systems, value)
    key = next((key for key in PROMPT_KEYS if key in value), None)
    said = question_of(value, "input") if key == "instruction" else value[key] if key else []
    question = _placed("user", said, (key or "",))
    answers = {output: _placed("assistant", value[name], (name,)) for output, name in OUTPUTS.items()}
    shared = _shared(*answers.values())
    common = answers["preferred_output"][:shared]
    if _contains(common, question):
        question = []
    begins = Turns([*systems.placed, *question, *common])
    rests = {output: Turns(placed[shared:]) for output, placed in answers.items()}
    body: dict[str, Any] = {"input": {"messages": begins.messages if begins.placed or not key else said}}
    body |= {
        output: rest.messages if rest.placed else value[OUTPUTS[output]]  # a wrong type, which the checks name
        for output, rest in rests.items()
    }

    def back(steps: Steps) -> Steps:
        match steps:
            case ("input", "messages", int(), *_):
                return begins.back(steps[1:])
            case (str(output), int(), *_) if output in rests:
                return rests[output].back(steps)
            case (str(output), *_) if output in rests:
                return (OUTPUTS[output],)
            case _:
                return (key,) if key else ()

    read = (*ANSWER_KEYS, *system_keys, *((key,) if key else ()), *(("input",) if key == "instruction" else ()))
    faults = (
        () if key or common else (Fault(Code.MISSING_KEY, (), "the question of the two answers is missing", HINT),)
    )
    return Shape("preference", body, back, faults, other_keys(value, read))


def _placed(role: str, said: object, origin: Steps) -> list[Placed]:
    """The messages of a text, of one turn, or of a list of turns. Empty for anything else."""
    if isinstance(said, str):
        return [Placed({"role": role, "content": said}, origin)]
    if isinstance(said, dict):
        return [Placed(message_of(said), origin, turn_keys(said))]
    if isinstance(said, list):
        return [Placed(message_of(turn), (*origin, index), turn_keys(turn)) for index, turn in enumerate(said)]
    return []


def _shared(chosen: list[Placed], rejected: list[Placed]) -> int:
    """How many messages both begin with; one of each is left as the answer."""
    count = 0
    while count < min(len(chosen), len(rejected)) - 1 and chosen[count].message == rejected[count].message:
        count += 1
    return count


def _contains(common: list[Placed], question: list[Placed]) -> bool:
    """Whether the common beginning repeats the question."""
    texts, asked = ([_text(one.message) for one in placed] for placed in (common, question))
    return any(texts[start : start + len(asked)] == asked for start in range(len(texts) - len(asked) + 1))


def _text(message: Any) -> object:
    content = message.get("content") if isinstance(message, dict) else message
    return content.strip() if isinstance(content, str) else content


PREFERENCE = Format(
    "preference",
    "Two answers to one question, for the method `dpo`: as OpenAI writes them; as `prompt`, `chosen` and `rejected`, "
    "each a text or a list of messages; as `chosen` and `rejected` that begin with the same messages; or as "
    "ShareGPT's `conversations` with `chosen` and `rejected`.",
    '{"input": {"messages": [{"role": "user", "content": "When do you open?"}]}, '
    '"preferred_output": [{"role": "assistant", "content": "At ten."}], '
    '"non_preferred_output": [{"role": "assistant", "content": "No idea."}]}\n'
    '{"prompt": "And close?", "chosen": "At four.", "rejected": "Later."}\n'
    '{"chosen": [{"role": "user", "content": "On Sundays?"}, {"role": "assistant", "content": "We are closed."}], '
    '"rejected": [{"role": "user", "content": "On Sundays?"}, {"role": "assistant", "content": "Maybe."}]}\n'
    '{"conversations": [{"from": "human", "value": "Any parking?"}], '
    '"chosen": {"from": "gpt", "value": "Behind the shop."}, "rejected": {"from": "gpt", "value": "Try it."}}\n',
    preference,
)
