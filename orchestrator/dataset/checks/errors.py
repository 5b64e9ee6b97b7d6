"""Errors of one example, whatever its method."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.dataset.checks.keys import wrong_keys
from orchestrator.dataset.checks.message import is_plain, message_errors
from orchestrator.dataset.checks.order import ending_errors, learning_errors
from orchestrator.dataset.checks.texts import OUTPUTS
from orchestrator.dataset.checks.tools import call_errors, definition_errors, has_tools
from orchestrator.dataset.codes import Code
from orchestrator.dataset.example import Body, Fault, Steps
from orchestrator.dataset.rules import Rules

CHAT_KEYS = {"messages": list, "tools": list, "parallel_tool_calls": bool}
PAIR_KEYS = {"input": dict, "preferred_output": list, "non_preferred_output": list}


def errors(body: Body, rules: Rules) -> Iterator[Fault]:
    """Every error of the example."""
    if "messages" in body:
        if rules.method != "supervised":
            yield Fault(Code.WRONG_METHOD, (), "a chat, but the method is dpo")
        yield from _chat(body, rules)
    else:
        if rules.method != "dpo":
            yield Fault(Code.WRONG_METHOD, (), "a preference pair, but the method is supervised")
        yield from _pair(body)


def _chat(body: Body, rules: Rules) -> Iterator[Fault]:
    yield from wrong_keys(body, CHAT_KEYS, ("messages",), ())
    if isinstance(messages := body["messages"], list):
        yield from _messages(messages, ("messages",))
        yield from ending_errors(messages, ("messages",))
        if has_tools(body):
            yield from definition_errors(body.get("tools"), ("tools",))
            yield from call_errors(messages, body.get("tools"), ("messages",))
        yield from learning_errors(messages, ("messages",))


def _messages(messages: list[object], steps: Steps) -> Iterator[Fault]:
    if not messages:
        yield Fault(Code.NO_MESSAGES, steps, "there are no messages")
    for index, message in enumerate(messages):
        if not is_plain(message):
            yield from message_errors(message, (*steps, index))


def _pair(body: Body) -> Iterator[Fault]:
    yield from wrong_keys(body, PAIR_KEYS, tuple(PAIR_KEYS), ())
    if isinstance(given := body.get("input"), dict):
        yield from wrong_keys(given, CHAT_KEYS, ("messages",), ("input",))
        yield from _input(given)
    for output in OUTPUTS:
        if isinstance(answers := body.get(output), list):
            yield from _messages(answers, (output,))
            yield from _output(answers, output)


def _input(given: Body) -> Iterator[Fault]:
    steps = ("input", "messages")
    if isinstance(messages := given.get("messages"), list):
        yield from _messages(messages, steps)
        if has_tools(given):
            yield from definition_errors(given.get("tools"), ("input", "tools"))
            yield from call_errors(messages, given.get("tools"), steps)
        if messages and isinstance(messages[-1], dict) and messages[-1].get("role") == "assistant":
            message = "the input ends with an answer; the answers belong into the outputs"
            yield Fault(Code.WRONG_ORDER, (*steps, len(messages) - 1, "role"), message)


def _output(answers: list[object], output: str) -> Iterator[Fault]:
    if len(answers) > 1:
        hint = f"Put the messages before the answer into input.messages, and one answer into {output}."
        yield Fault(Code.WRONG_ORDER, (output, 1), "an output is one answer, not several messages", hint)
    for index, answer in enumerate(answers):
        if isinstance(answer, dict) and answer.get("role") not in ("assistant", None):
            message = f"an output is the assistant's, not {answer['role']!r}"
            yield Fault(Code.WRONG_ORDER, (output, index, "role"), message)
