"""Checks examples against the rules of the providers that they will be uploaded to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from orchestrator.core.account import ProviderName
from orchestrator.core.capabilities import MB
from orchestrator.dataset.checks.images import ImageReference, iter_images
from orchestrator.dataset.checks.text_walk import iter_message_lists, iter_messages
from orchestrator.dataset.example import ExampleBody, ExampleIssue, KeyPath
from orchestrator.dataset.provider_rules import ProviderRule, RuleKind, list_provider_rules

RuleViolation = tuple[KeyPath, str, str]
"""Key path, message, and hint ("": the hint of the code)."""

_ALLOWED_PREVIOUS_ROLES = {  # the roles that may stand just before a role
    "system": (None,),
    "user": (None, "system", "assistant"),
    "assistant": ("user", "tool"),
    "tool": ("assistant", "tool"),
}


class ProviderRuleChecker:
    """Checks examples against the rules of some providers. Providers with the same rule share one finding."""

    def __init__(self, providers: Iterable[ProviderName]) -> None:
        groups: dict[tuple[RuleKind, int, tuple[str, ...]], list[ProviderRule]] = {}
        for rule in list_provider_rules(providers):
            groups.setdefault((rule.kind, rule.limit, rule.values), []).append(rule)
        shared = [(", ".join(rule.provider for rule in rules), rules[0]) for rules in groups.values()]
        self._order_rules = [pair for pair in shared if pair[1].kind in ORDER_CHECKS]
        self._content_rules = [pair for pair in shared if pair[1].kind in CONTENT_CHECKS]
        self._image_rules = [pair for pair in shared if pair[1].kind in IMAGE_CHECKS]
        self._count_rules = [pair for pair in shared if pair[1].kind in COUNT_RULE_KINDS]

    def check_example(self, body: ExampleBody) -> Iterator[ExampleIssue]:
        """Yield every error of the example. Values of the wrong type are skipped; `structure` reports them."""
        for names, rule in self._order_rules:
            yield from _to_issues(names, rule, ORDER_CHECKS[rule.kind](body, rule))
        if not _has_parts(body):
            return  # most examples have neither text parts nor images
        images = list(iter_images(body))
        for names, rule in self._content_rules:
            yield from _to_issues(names, rule, CONTENT_CHECKS[rule.kind](body, rule, images))
        for names, rule in self._image_rules if images else ():
            yield from _to_issues(names, rule, IMAGE_CHECKS[rule.kind](images, rule))

    def check_counts(self, examples: int, with_images: int) -> Iterator[tuple[ProviderRule, str]]:
        """Yield each rule that the number of training examples breaks, with a message."""
        for names, rule in self._count_rules:
            count, kind = (
                (with_images, "examples with images")
                if rule.kind is RuleKind.MAXIMUM_IMAGE_EXAMPLES
                else (examples, "training examples")
            )
            if count > rule.limit:
                yield rule, f"there are {count:,} {kind}, {names} accepts at most {rule.limit:,}"


def _to_issues(names: str, rule: ProviderRule, problems: Iterable[RuleViolation]) -> Iterator[ExampleIssue]:
    for key_path, message, hint in problems:
        yield ExampleIssue(rule.kind.code, key_path, f"{names}: {message}", hint)


def _has_parts(body: ExampleBody) -> bool:
    """Whether any content is an array of parts. Fast for chats; a pair may have parts in three places."""
    messages = body.get("messages")
    if not isinstance(messages, list):
        return any(isinstance(message.get("content"), list) for message, _ in iter_messages(body))
    return any(type(message) is dict and type(message.get("content")) is list for message in messages)


def _iter_written_messages(messages: list[Any]) -> Iterator[tuple[int, str]]:
    """Yield index and role of each message that is written to the file; empty system messages are left out."""
    for index, message in enumerate(messages):
        role = message.get("role") if isinstance(message, dict) else None
        if (
            isinstance(role, str)
            and role in _ALLOWED_PREVIOUS_ROLES
            and not (role == "system" and not _has_text(message))
        ):
            yield index, role


def _has_text(message: dict[str, Any]) -> bool:
    content = message.get("content")
    return bool(content.strip()) if isinstance(content, str) else bool(content)


def _check_roles_alternate(body: ExampleBody, _: ProviderRule) -> Iterator[RuleViolation]:
    for messages, key_path in iter_message_lists(body):
        before: str | None = None
        for index, role in _iter_written_messages(messages):
            if before not in _ALLOWED_PREVIOUS_ROLES[role]:
                yield (*key_path, index, "role"), _turn_message(before, role), _turn_hint(before, role)
                break  # one finding per chat: further ones are mostly consequences of the first
            before = role


def _turn_message(before: str | None, role: str) -> str:
    if before is None or (before == "system" and role != "system"):
        return f"the chat begins with the role {role}, but user and assistant must alternate, starting with the user"
    if role == "system":
        return "a system message is only allowed as the first message"
    if role == before:
        return f"two messages in a row have the role {role}, but user and assistant must alternate"
    return f"a {role} message follows a {before} message, but user and assistant must alternate"


def _turn_hint(before: str | None, role: str) -> str:
    if role == "system":
        return "Merge it into the first message; `orchestrator polish` can do it."
    if role == before:
        return "Merge the two messages, or remove one of them."
    return "Insert a user message before it, or delete it." if before in (None, "system") else ""


def _check_system_first(body: ExampleBody, _: ProviderRule) -> Iterator[RuleViolation]:
    hint = "Merge it into the first message; `orchestrator polish` can do it."
    for messages, key_path in iter_message_lists(body):
        for place, (index, role) in enumerate(_iter_written_messages(messages)):
            if role == "system" and place:
                yield (*key_path, index, "role"), "a system message must be the first message of the chat", hint


def _check_text_answer_last(body: ExampleBody, _: ProviderRule) -> Iterator[RuleViolation]:
    messages = body.get("messages")
    last = messages[-1] if isinstance(messages, list) and messages else None
    if isinstance(last, dict) and last.get("role") == "assistant" and last.get("tool_calls") and not _has_text(last):
        hint = "Add the tool message and a text answer of the assistant, or remove the chat."
        yield (
            ("messages", len(body["messages"]) - 1),
            "the chat ends with a tool call, not with a text answer",
            hint,
        )


def _check_keys_not_accepted(body: ExampleBody, rule: ProviderRule) -> Iterator[RuleViolation]:
    for key in rule.values:
        if key in body:
            yield (key,), f'the key "{key}" is not accepted in a chat', "Remove the key."


def _check_message_keys_not_accepted(body: ExampleBody, rule: ProviderRule) -> Iterator[RuleViolation]:
    for message, key_path in iter_messages(body):
        for key in rule.values:
            if key in message:
                yield (*key_path, key), f'the key "{key}" is not accepted in a message', "Remove the key."


def _check_text_content(
    body: ExampleBody, rule: ProviderRule, images: list[ImageReference]
) -> Iterator[RuleViolation]:
    """Yield an error for content in text parts. Examples with images need parts, so they are accepted."""
    if images and "user" in rule.values:
        return
    for message, key_path in iter_messages(body):
        content, role = message.get("content"), message.get("role")
        if role in rule.values and isinstance(content, list) and content and all(map(_is_text_part, content)):
            parts = "a part" if len(content) == 1 else f"{len(content)} parts"
            yield (
                (*key_path, "content"),
                f"the {role} message's content is an array with {parts}, it must be one string",
                "",
            )


def _is_text_part(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") == "text"


def _check_image_types(images: list[ImageReference], rule: ProviderRule) -> Iterator[RuleViolation]:
    accepted = ", ".join(name.upper() for name in rule.values)
    for image in images:
        if image.image_type is not None and image.image_type not in rule.values:
            hint = f"Save it as {accepted}."
            yield image.key_path, f"the image is {image.image_type.upper()[:20]}, accepted are {accepted}", hint


def _check_image_bytes(images: list[ImageReference], rule: ProviderRule) -> Iterator[RuleViolation]:
    for image in images:
        if (size := image.size_bytes) > rule.limit:
            message = f"the image has {size / MB:,.1f} MB, at most {rule.limit / MB:,.0f} MB are accepted"
            yield image.key_path, message, "Reduce its size: use fewer pixels or a stronger compression."


def _check_images_per_example(images: list[ImageReference], rule: ProviderRule) -> Iterator[RuleViolation]:
    if len(images) > rule.limit:
        yield (), f"the example has {len(images)} images, at most {rule.limit} are accepted", ""


def _check_public_images(images: list[ImageReference], _: ProviderRule) -> Iterator[RuleViolation]:
    hint = "Embed the image as data:image/…;base64,…, or host it at a public URL."
    for image in images:
        if not image.is_public:
            yield image.key_path, f"the image URL {image.url[:60]!r} is not reachable from the internet", hint


def _check_embedded_images(images: list[ImageReference], _: ProviderRule) -> Iterator[RuleViolation]:
    hint = "Embed the image in the file as data:image/…;base64,…"
    for image in images:
        if not image.is_embedded:
            yield (
                image.key_path,
                f"the image is referenced by the URL {image.url[:60]!r}, it must be embedded",
                hint,
            )


ORDER_CHECKS: dict[RuleKind, Callable[[ExampleBody, ProviderRule], Iterator[RuleViolation]]] = {
    RuleKind.ROLES_ALTERNATE: _check_roles_alternate,
    RuleKind.SYSTEM_FIRST: _check_system_first,
    RuleKind.TEXT_ANSWER_LAST: _check_text_answer_last,
    RuleKind.KEYS_NOT_ACCEPTED: _check_keys_not_accepted,
    RuleKind.MESSAGE_KEYS_NOT_ACCEPTED: _check_message_keys_not_accepted,
}
CONTENT_CHECKS: dict[
    RuleKind, Callable[[ExampleBody, ProviderRule, list[ImageReference]], Iterator[RuleViolation]]
] = {
    RuleKind.TEXT_CONTENT: _check_text_content,
}
IMAGE_CHECKS: dict[RuleKind, Callable[[list[ImageReference], ProviderRule], Iterator[RuleViolation]]] = {
    RuleKind.IMAGE_TYPES: _check_image_types,
    RuleKind.IMAGE_BYTES: _check_image_bytes,
    RuleKind.IMAGES_PER_EXAMPLE: _check_images_per_example,
    RuleKind.PUBLIC_IMAGES: _check_public_images,
    RuleKind.EMBEDDED_IMAGES: _check_embedded_images,
}
COUNT_RULE_KINDS = (RuleKind.MAXIMUM_EXAMPLES, RuleKind.MAXIMUM_IMAGE_EXAMPLES)
