"""Finds the names that a chat uses for its user."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from orchestrator.dataset.checks.text_walk import MessageText
from orchestrator.dataset.example import ExampleBody

_WORD = r"[A-Z\u00c0-\u00de\u0391-\u03a9\u0410-\u042f][\w'-]+"
_INTRODUCTIONS = ("I'm", "I am", "My name is", "my name is", "This is", "this is", "Call me", "call me")
_GREETINGS = ("Hi", "Hello", "Hey", "Dear", "Welcome", "Thanks", "Thank you", "Goodbye", "Bye")


def _compile_after(words: Iterable[str], following: str, *others: str) -> re.Pattern[str]:
    """Compile a pattern of some words, at the start of a word, with the same pattern after each, or of others.

    Each alternative begins with a letter and not with a boundary: then `re` skips texts without these letters, which
    is three times as fast.
    """
    alternatives = [rf"{word[0]}(?<=\b{word[0]}){word[1:]}{following}" for word in words]
    return re.compile("|".join((*alternatives, *others)))


_SELF_INTRODUCTION = _compile_after(_INTRODUCTIONS, rf" ({_WORD})\b")
_FORM_OF_ADDRESS = _compile_after(_GREETINGS, rf",? ({_WORD})\b", rf", ({_WORD})[!?.,]")
_SYSTEM_ADDRESS = _compile_after(("You are", "you are", "You're", "name is"), rf" ({_WORD})\b")
_NAME_HERE = re.compile(rf"({_WORD}) here\b")
_SPEAKER_PREFIX = re.compile(rf"({_WORD}(?: {_WORD})?): ")
_NOT_NAMES = frozenset(
    word
    for line in (
        "A An And But Do Great Here How I If In It Let No Not Of Oh Okay Ok Please So Sorry Sure That The There This",
        "To Very Well What When Where Why Yes You Your English French German Spanish",
        "Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
    )
    for word in line.split()
)


def find_user_names(body: ExampleBody, texts: list[MessageText], known_name: str) -> set[str]:
    """Find the possible names of the user: from the source, from introductions, and from forms of address."""
    names, others = {known_name} if known_name else set(), set(_NOT_NAMES)
    messages = body.get("messages")
    names |= (
        {name for message in messages if (name := _get_message_name(message))}
        if isinstance(messages, list)
        else set()
    )
    for role, text, _ in texts:
        if role == "user":
            if speaker := _SPEAKER_PREFIX.match(text):
                names.add(speaker[1])
            names |= _find_introductions(text)
        elif role == "assistant":
            names |= _find_names(_FORM_OF_ADDRESS, text)
            others |= _find_introductions(text)
        elif role == "system":
            others |= _find_names(_SYSTEM_ADDRESS, text)
    return names - others


def _get_message_name(message: Any) -> str:
    if not isinstance(message, dict) or message.get("role") != "user":
        return ""
    name = message.get("name")
    return name if isinstance(name, str) else ""


def _find_introductions(text: str) -> set[str]:
    names = _find_names(_SELF_INTRODUCTION, text)
    return names | {match[1]} if (match := _NAME_HERE.match(text)) else names


def _find_names(pattern: re.Pattern[str], text: str) -> set[str]:
    return {name for match in pattern.finditer(text) for name in match.groups() if name}
