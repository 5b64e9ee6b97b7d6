"""Errors of one example, for chats and preference pairs: its keys, the order of its messages, and its weights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from orchestrator.dataset.checks.messages import check_message, is_plain_message, is_unknown_role, is_valid_weight
from orchestrator.dataset.checks.object_keys import check_keys
from orchestrator.dataset.checks.text_walk import PAIR_OUTPUT_KEYS
from orchestrator.dataset.checks.tools import check_tool_calls, check_tool_definitions, has_tools
from orchestrator.dataset.example import ExampleBody, ExampleIssue, KeyPath
from orchestrator.dataset.finding_codes import FindingCode
from orchestrator.dataset.rules import DatasetRules

CHAT_KEYS = {"messages": list, "tools": list, "parallel_tool_calls": bool}
PAIR_KEYS = {"input": dict, "preferred_output": list, "non_preferred_output": list}


def check_structure(body: ExampleBody, rules: DatasetRules) -> Iterator[ExampleIssue]:
    """Yield every error of the example."""
    if "messages" in body:
        if rules.method != "supervised":
            yield ExampleIssue(FindingCode.WRONG_METHOD, (), "a chat, but the method is dpo")
        yield from _check_chat(body, rules)
    else:
        if rules.method != "dpo":
            yield ExampleIssue(FindingCode.WRONG_METHOD, (), "a preference pair, but the method is supervised")
        yield from _check_pair(body)


def _check_chat(body: ExampleBody, rules: DatasetRules) -> Iterator[ExampleIssue]:
    yield from check_keys(body, CHAT_KEYS, ("messages",), ())
    if isinstance(messages := body["messages"], list):
        yield from _check_messages(messages, ("messages",))
        yield from check_ending(messages, ("messages",))
        if has_tools(body):
            yield from check_tool_definitions(body.get("tools"), ("tools",))
            yield from check_tool_calls(messages, body.get("tools"), ("messages",))
        yield from check_weights(messages, ("messages",))


def _check_messages(messages: list[object], key_path: KeyPath) -> Iterator[ExampleIssue]:
    if not messages:
        yield ExampleIssue(FindingCode.NO_MESSAGES, key_path, "the list of messages is empty")
    for index, message in enumerate(messages):
        if not is_plain_message(message):
            yield from check_message(message, (*key_path, index))


def _check_pair(body: ExampleBody) -> Iterator[ExampleIssue]:
    yield from check_keys(body, PAIR_KEYS, tuple(PAIR_KEYS), ())
    if isinstance(pair_input := body.get("input"), dict):
        yield from check_keys(pair_input, CHAT_KEYS, ("messages",), ("input",))
        yield from _check_input(pair_input)
    for output in PAIR_OUTPUT_KEYS:
        if isinstance(answers := body.get(output), list):
            yield from _check_messages(answers, (output,))
            yield from _check_output(answers, output)


def _check_input(pair_input: ExampleBody) -> Iterator[ExampleIssue]:
    key_path = ("input", "messages")
    if isinstance(messages := pair_input.get("messages"), list):
        yield from _check_messages(messages, key_path)
        if has_tools(pair_input):
            yield from check_tool_definitions(pair_input.get("tools"), ("input", "tools"))
            yield from check_tool_calls(messages, pair_input.get("tools"), key_path)
        if messages and isinstance(messages[-1], dict) and messages[-1].get("role") == "assistant":
            message = "the input ends with an assistant message, but the answers belong in the outputs"
            yield ExampleIssue(FindingCode.WRONG_ORDER, (*key_path, len(messages) - 1, "role"), message)


def _check_output(answers: list[object], output: str) -> Iterator[ExampleIssue]:
    if len(answers) > 1:
        hint = f"Move the messages before the answer to input.messages, and keep one answer in {output}."
        yield ExampleIssue(
            FindingCode.WRONG_ORDER, (output, 1), "an output must be one answer, not several messages", hint
        )
    for index, answer in enumerate(answers):
        if isinstance(answer, dict) and answer.get("role") not in ("assistant", None):
            message = f"an output must have the role 'assistant', not {answer['role']!r}"
            yield ExampleIssue(FindingCode.WRONG_ORDER, (output, index, "role"), message)


def check_ending(messages: list[Any], key_path: KeyPath) -> Iterator[ExampleIssue]:
    """Yield an error for a chat without an assistant message, or with another message at its end."""
    roles = [message.get("role") if isinstance(message, dict) else None for message in messages]
    if any(isinstance(role, str) and is_unknown_role(role) for role in roles):
        return  # an error already; a misspelt role may be the assistant's, so a second error could be wrong
    if messages and "assistant" not in roles:
        yield ExampleIssue(FindingCode.NO_ASSISTANT, key_path, "the chat has no assistant message")
    elif messages and roles[-1] != "assistant":
        place = (*key_path, len(messages) - 1, "role")
        yield ExampleIssue(FindingCode.LAST_NOT_ASSISTANT, place, f"the last message is from {str(roles[-1])[:40]!r}")


def check_weights(messages: list[Any], key_path: KeyPath) -> Iterator[ExampleIssue]:
    """Yield an error if no answer of the chat is learned."""
    answers = [message for message in messages if isinstance(message, dict) and message.get("role") == "assistant"]
    if answers and all(is_valid_weight(answer.get("weight")) and answer["weight"] == 0 for answer in answers):
        yield ExampleIssue(FindingCode.NOTHING_TO_LEARN, key_path, "every assistant message has weight 0")
