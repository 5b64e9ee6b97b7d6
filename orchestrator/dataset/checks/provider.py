"""Provider: errors of an example under the rules of the providers it is going to, before it is uploaded there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from orchestrator.core.account import ProviderName
from orchestrator.dataset.checks.pictures import Picture, pictures
from orchestrator.dataset.checks.texts import all_messages, message_lists
from orchestrator.dataset.example import Body, Fault, Steps
from orchestrator.dataset.provider_rules import ProviderRule, RuleKind, rules_of_providers

Problem = tuple[Steps, str, str]
"""Where it is, what is wrong, and a hint ("" for the code's own)."""

MEGABYTE = 1_000_000
_BEFORE = {  # the roles that may stand just before a role
    "system": (None,),
    "user": (None, "system", "assistant"),
    "assistant": ("user", "tool"),
    "tool": ("assistant", "tool"),
}


class ProviderChecks:
    """Checks examples under the rules of some providers. Providers with the same rule share one finding."""

    def __init__(self, providers: Iterable[ProviderName]) -> None:
        groups: dict[tuple[RuleKind, int, tuple[str, ...]], list[ProviderRule]] = {}
        for rule in rules_of_providers(providers):
            groups.setdefault((rule.kind, rule.limit, rule.values), []).append(rule)
        shared = [(", ".join(rule.provider for rule in rules), rules[0]) for rules in groups.values()]
        self._order = [pair for pair in shared if pair[1].kind in ORDER_CHECKS]
        self._content = [pair for pair in shared if pair[1].kind in CONTENT_CHECKS]
        self._pictures = [pair for pair in shared if pair[1].kind in PICTURE_CHECKS]
        self._counts = [pair for pair in shared if pair[1].kind in COUNTS]

    def errors(self, body: Body) -> Iterator[Fault]:
        """Yield every error of the example. Wrong shapes are passed over: the other errors name them."""
        for names, rule in self._order:
            yield from _faults(names, rule, ORDER_CHECKS[rule.kind](body, rule))
        if not _has_parts(body):
            return  # as most examples: neither text parts nor pictures
        found = list(pictures(body))
        for names, rule in self._content:
            yield from _faults(names, rule, CONTENT_CHECKS[rule.kind](body, rule, found))
        for names, rule in self._pictures if found else ():
            yield from _faults(names, rule, PICTURE_CHECKS[rule.kind](found, rule))

    def count_errors(self, examples: int, with_pictures: int) -> Iterator[tuple[ProviderRule, str]]:
        """Yield the rules that the number of training examples breaks, with a message for each."""
        for names, rule in self._counts:
            count, what = (
                (with_pictures, "examples with pictures")
                if rule.kind is RuleKind.MAXIMUM_PICTURE_EXAMPLES
                else (examples, "training examples")
            )
            if count > rule.limit:
                yield rule, f"{count:,} {what}, {names} takes at most {rule.limit:,}"


def _faults(names: str, rule: ProviderRule, problems: Iterable[Problem]) -> Iterator[Fault]:
    for steps, message, hint in problems:
        yield Fault(rule.kind.code, steps, f"{names}: {message}", hint)


def _has_parts(body: Body) -> bool:
    """Quickly for a chat, as most examples are; a pair may have parts in three places."""
    messages = body.get("messages")
    if not isinstance(messages, list):
        return any(isinstance(message.get("content"), list) for message, _ in all_messages(body))
    return any(type(message) is dict and type(message.get("content")) is list for message in messages)


def _spoken(messages: list[Any]) -> Iterator[tuple[int, str]]:
    """Index and role of each message that is written into the file: empty system messages are not."""
    for index, message in enumerate(messages):
        role = message.get("role") if isinstance(message, dict) else None
        if isinstance(role, str) and role in _BEFORE and not (role == "system" and not _has_text(message)):
            yield index, role


def _has_text(message: dict[str, Any]) -> bool:
    content = message.get("content")
    return bool(content.strip()) if isinstance(content, str) else bool(content)


def _roles_alternate(body: Body, _: ProviderRule) -> Iterator[Problem]:
    for messages, steps in message_lists(body):
        before: str | None = None
        for index, role in _spoken(messages):
            if before not in _BEFORE[role]:
                yield (*steps, index, "role"), _turn_problem(before, role), _turn_hint(before, role)
                break  # one finding for a chat: what follows is a consequence more often than not
            before = role


def _turn_problem(before: str | None, role: str) -> str:
    if before is None or (before == "system" and role != "system"):
        return f"the chat begins with the {role}, but user and assistant must take turns and the user begins"
    if role == "system":
        return "a system message after the beginning, but only the first message may be one"
    if role == before:
        return f"the {role} speaks twice in a row, but user and assistant must take turns"
    return f"the {role} speaks after the {before}, but user and assistant must take turns"


def _turn_hint(before: str | None, role: str) -> str:
    if role == "system":
        return "Merge it into the first message: `orchestrator polish` can do it."
    if role == before:
        return "Join the two messages into one, or take one of them out."
    return "Put the user's message before it, or delete it." if before in (None, "system") else ""


def _system_first(body: Body, _: ProviderRule) -> Iterator[Problem]:
    hint = "Merge it into the first message: `orchestrator polish` can do it."
    for messages, steps in message_lists(body):
        for place, (index, role) in enumerate(_spoken(messages)):
            if role == "system" and place:
                yield (*steps, index, "role"), "a system message must be the first message of the chat", hint


def _text_answer_last(body: Body, _: ProviderRule) -> Iterator[Problem]:
    messages = body.get("messages")
    last = messages[-1] if isinstance(messages, list) and messages else None
    if isinstance(last, dict) and last.get("role") == "assistant" and last.get("tool_calls") and not _has_text(last):
        hint = "Add the tool's answer and the assistant's answer in text, or take the chat out."
        yield (
            ("messages", len(body["messages"]) - 1),
            "the chat ends with a tool call, not with an answer in text",
            hint,
        )


def _keys_not_accepted(body: Body, rule: ProviderRule) -> Iterator[Problem]:
    for key in rule.values:
        if key in body:
            yield (key,), f'the key "{key}" is not accepted in a chat', "Remove the key."


def _text_content(body: Body, rule: ProviderRule, found: list[Picture]) -> Iterator[Problem]:
    """Parts are the form of examples with pictures; where all roles need a text, such an example is let through."""
    if found and "user" in rule.values:
        return
    for message, steps in all_messages(body):
        content, role = message.get("content"), message.get("role")
        if role in rule.values and isinstance(content, list) and content and all(map(_is_text, content)):
            parts = "a part" if len(content) == 1 else f"{len(content)} parts"
            yield (*steps, "content"), f"the content of the {role} is an array with {parts}, it must be one text", ""


def _is_text(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") == "text"


def _picture_types(found: list[Picture], rule: ProviderRule) -> Iterator[Problem]:
    accepted = ", ".join(name.upper() for name in rule.values)
    for picture in found:
        if picture.type is not None and picture.type not in rule.values:
            hint = f"Save it as {accepted}."
            yield picture.steps, f"the picture is {picture.type.upper()[:20]}, accepted are {accepted}", hint


def _picture_bytes(found: list[Picture], rule: ProviderRule) -> Iterator[Problem]:
    for picture in found:
        if (size := picture.bytes) > rule.limit:
            message = (
                f"the picture has {size / MEGABYTE:,.1f} MB, at most {rule.limit / MEGABYTE:,.0f} MB are accepted"
            )
            yield picture.steps, message, "Make it smaller: fewer pixels, or a stronger compression."


def _pictures_per_example(found: list[Picture], rule: ProviderRule) -> Iterator[Problem]:
    if len(found) > rule.limit:
        yield (), f"{len(found)} pictures in the example, at most {rule.limit} are accepted", ""


def _public_pictures(found: list[Picture], _: ProviderRule) -> Iterator[Problem]:
    hint = "Put the picture itself into the file as data:image/…;base64,…, or at a public address."
    for picture in found:
        if not picture.is_public:
            yield picture.steps, f"the picture's address {picture.url[:60]!r} cannot be reached from outside", hint


def _embedded_pictures(found: list[Picture], _: ProviderRule) -> Iterator[Problem]:
    hint = "Put the picture itself into the file, as data:image/…;base64,…"
    for picture in found:
        if not picture.embedded:
            yield picture.steps, f"the picture is given by its address {picture.url[:60]!r}", hint


ORDER_CHECKS: dict[RuleKind, Callable[[Body, ProviderRule], Iterator[Problem]]] = {
    RuleKind.ROLES_ALTERNATE: _roles_alternate,
    RuleKind.SYSTEM_FIRST: _system_first,
    RuleKind.TEXT_ANSWER_LAST: _text_answer_last,
    RuleKind.KEYS_NOT_ACCEPTED: _keys_not_accepted,
}
CONTENT_CHECKS: dict[RuleKind, Callable[[Body, ProviderRule, list[Picture]], Iterator[Problem]]] = {
    RuleKind.TEXT_CONTENT: _text_content,
}
PICTURE_CHECKS: dict[RuleKind, Callable[[list[Picture], ProviderRule], Iterator[Problem]]] = {
    RuleKind.PICTURE_TYPES: _picture_types,
    RuleKind.PICTURE_BYTES: _picture_bytes,
    RuleKind.PICTURES_PER_EXAMPLE: _pictures_per_example,
    RuleKind.PUBLIC_PICTURES: _public_pictures,
    RuleKind.EMBEDDED_PICTURES: _embedded_pictures,
}
COUNTS = (RuleKind.MAXIMUM_EXAMPLES, RuleKind.MAXIMUM_PICTURE_EXAMPLES)
