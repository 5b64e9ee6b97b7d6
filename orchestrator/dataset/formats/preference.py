"""Preference pairs for DPO: OpenAI's `input/preferred_output/non_preferred_output`, and `prompt/chosen/rejected`."""

from __future__ import annotations

from typing import Any

from orchestrator.dataset.example import ExampleIssue, KeyPath
from orchestrator.dataset.finding_codes import FindingCode
from orchestrator.dataset.formats.base import ChatFormat, MessageBuilder, ParsedChat, PlacedMessage, list_other_keys
from orchestrator.dataset.formats.instruction import build_question
from orchestrator.dataset.formats.sharegpt import get_turn_keys, is_assistant_turn, to_message
from orchestrator.dataset.formats.system_message import add_system_messages

PROMPT_KEYS = ("prompt", "question", "instruction", "conversations", "messages")
ANSWER_KEYS = ("chosen", "rejected")
ANSWER_KEY_BY_OUTPUT = {"preferred_output": "chosen", "non_preferred_output": "rejected"}
PREFERENCE_HINT = (
    'Write {"input": {"messages": […]}, "preferred_output": [answer], "non_preferred_output": [answer]}, '
    "or prompt, chosen and rejected."
)


def parse_preference(value: object) -> ParsedChat | None:
    """Parse a pair of answers to the same question."""
    if not isinstance(value, dict):
        return None
    if "preferred_output" in value or "non_preferred_output" in value:
        return ParsedChat("preference", value)
    if "chosen" not in value or "rejected" not in value:
        return None
    if "prompt" not in value and _is_chat_with_ranks(value):
        return None
    return _parse_pair(value)


def _is_chat_with_ranks(value: dict[str, Any]) -> bool:
    """Whether the row is a complete chat with its answer: then the pair beside it is left out."""
    turns = value.get("conversations", value.get("messages"))
    answered = isinstance(turns, list) and bool(turns) and is_assistant_turn(turns[-1])
    return answered or ("instruction" in value and "output" in value)


_MISSING_QUESTION = ExampleIssue(
    FindingCode.MISSING_KEY, (), "the question for the two answers is missing", PREFERENCE_HINT
)


def _parse_pair(value: dict[str, Any]) -> ParsedChat:
    """Parse a pair whose question has its own key, or is the common beginning of both answers, or both."""
    systems = MessageBuilder()
    system_keys = add_system_messages(systems, value)
    key = next((key for key in PROMPT_KEYS if key in value), None)
    content = build_question(value, "input") if key == "instruction" else value[key] if key else []
    question = _place_messages("user", content, (key or "",))
    answers = {
        output: _place_messages("assistant", value[name], (name,)) for output, name in ANSWER_KEY_BY_OUTPUT.items()
    }
    shared = _count_shared_messages(*answers.values())
    common = answers["preferred_output"][:shared]
    if _repeats_question(common, question):
        question = []
    input_builder = MessageBuilder([*systems.placed, *question, *common])
    output_builders = {output: MessageBuilder(placed[shared:]) for output, placed in answers.items()}
    body: dict[str, Any] = {
        "input": {"messages": input_builder.messages if input_builder.placed or not key else content}
    }
    body |= {
        output: builder.messages
        if builder.placed
        else value[ANSWER_KEY_BY_OUTPUT[output]]  # a wrong type, which the checks report
        for output, builder in output_builders.items()
    }

    def to_source(key_path: KeyPath) -> KeyPath:
        match key_path:
            case ("input", "messages", int(), *_):
                return input_builder.to_source(key_path[1:])
            case (str(output), int(), *_) if output in output_builders:
                return output_builders[output].to_source(key_path)
            case (str(output), *_) if output in output_builders:
                return (ANSWER_KEY_BY_OUTPUT[output],)
            case _:
                return (key,) if key else ()

    known_keys = (*ANSWER_KEYS, *system_keys, *((key,) if key else ()), *(("input",) if key == "instruction" else ()))
    issues = () if key or common else (_MISSING_QUESTION,)
    return ParsedChat("preference", body, to_source, issues, list_other_keys(value, known_keys))


def _place_messages(role: str, content: object, origin: KeyPath) -> list[PlacedMessage]:
    """Return the messages of a text, of one turn, or of a list of turns; an empty list for anything else."""
    if isinstance(content, str):
        return [PlacedMessage({"role": role, "content": content}, origin)]
    if isinstance(content, dict):
        return [PlacedMessage(to_message(content), origin, get_turn_keys(content))]
    if isinstance(content, list):
        return [
            PlacedMessage(to_message(turn), (*origin, index), get_turn_keys(turn))
            for index, turn in enumerate(content)
        ]
    return []


def _count_shared_messages(chosen: list[PlacedMessage], rejected: list[PlacedMessage]) -> int:
    """Count the messages that both lists start with; at least one message of each remains as the answer."""
    count = 0
    while count < min(len(chosen), len(rejected)) - 1 and chosen[count].message == rejected[count].message:
        count += 1
    return count


def _repeats_question(common: list[PlacedMessage], question: list[PlacedMessage]) -> bool:
    """Whether the common beginning repeats the question."""
    begin, texts = ([_get_text(placed.message) for placed in messages] for messages in (common, question))
    return any(begin[start : start + len(texts)] == texts for start in range(len(begin) - len(texts) + 1))


def _get_text(message: Any) -> object:
    content = message.get("content") if isinstance(message, dict) else message
    return content.strip() if isinstance(content, str) else content


PREFERENCE = ChatFormat(
    "preference",
    "Two answers to one question, for the method `dpo`: in OpenAI's format; as `prompt`, `chosen` and `rejected`, "
    "each a string or a list of messages; as `chosen` and `rejected` that begin with the same messages; or as "
    "ShareGPT's `conversations` with `chosen` and `rejected`.",
    '{"input": {"messages": [{"role": "user", "content": "When do you open?"}]}, '
    '"preferred_output": [{"role": "assistant", "content": "At ten."}], '
    '"non_preferred_output": [{"role": "assistant", "content": "No idea."}]}\n'
    '{"prompt": "And close?", "chosen": "At four.", "rejected": "Later."}\n'
    '{"chosen": [{"role": "user", "content": "On Sundays?"}, {"role": "assistant", "content": "We are closed."}], '
    '"rejected": [{"role": "user", "content": "On Sundays?"}, {"role": "assistant", "content": "Maybe."}]}\n'
    '{"conversations": [{"from": "human", "value": "Any parking?"}], '
    '"chosen": {"from": "gpt", "value": "Behind the shop."}, "rejected": {"from": "gpt", "value": "Try it."}}\n',
    parse_preference,
)
