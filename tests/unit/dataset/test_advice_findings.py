"""Warnings about chats that can be trained, but may teach something unintended."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.finding import Severity
from orchestrator.dataset.checker import check_dataset
from orchestrator.dataset.checks.pii import redact_text
from orchestrator.dataset.rules import DatasetRules
from orchestrator.dataset.summary import CheckResult

SYSTEM = {"role": "system", "content": "Be kind."}
ONE = {"role": "user", "content": "What is one and one?"}
TWO = {"role": "assistant", "content": "Two."}
LONG = "The second discount is taken from a smaller price. That is why the two of them together are less than"


def answer(text: str) -> list[Any]:
    return [SYSTEM, ONE, {"role": "assistant", "content": text}]


def checked(tmp_path: Path, *chats: Any, rules: DatasetRules | None = None) -> CheckResult:
    for number, messages in enumerate(chats):
        (tmp_path / f"{number:02}.json").write_text(json.dumps(messages), encoding="utf-8")
    return check_dataset(tmp_path, rules or DatasetRules(minimum_examples=0))


def places(outcome: CheckResult) -> list[tuple[str, str, str | None]]:
    assert {found.severity for found in outcome.findings} <= {Severity.WARNING}
    return [(found.code, found.file, found.path) for found in outcome.findings]


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([SYSTEM, SYSTEM, ONE, TWO], [("several-system", "$[1]")]),
        ([SYSTEM, ONE, TWO, SYSTEM, ONE, TWO], [("several-system", "$[3]"), ("late-instruction", "$[3]")]),
        ([SYSTEM, ONE, SYSTEM, TWO], [("several-system", "$[2]")]),
        ([ONE, TWO, SYSTEM, ONE, TWO], [("late-instruction", "$[2]")]),
        ([SYSTEM | {"content": " "}, ONE, TWO], [("empty-system", "$[0].content")]),
        (answer(LONG), [("cut-off", "$[2].content")]),
        (answer(LONG + ","), [("cut-off", "$[2].content")]),
        (answer(LONG + "."), []),
        (answer(LONG + ".\n\nYour Juniper"), []),
        (answer(LONG + ":\n- 1 from the first and nothing at all from the rest"), []),
        (answer("four"), []),
        (answer("Hello {{user}}!"), [("unfilled-macro", "$[2].content")]),
        (answer("{{ x }} is an expression in Jinja."), []),
        (answer("My key is sk-proj-abcdefghijklmnop1234."), [("secret", "$[2].content")]),
        (answer("password: hunter2hunter"), [("secret", "$[2].content")]),
        (answer("Write to mina@lantern.club, or call 020 7946 0958."),
         [("email-address", "$[2].content"), ("phone-number", "$[2].content")]),
        (answer("Write to mina@example.com."), []),
        (answer("In 1789, on 2025-04-14 at 12:30, 1,234,567,890 people saw 192.168.100.200."), []),
    ],
)  # fmt: skip
def test_single_chat_has_its_findings(tmp_path: Path, messages: Any, expected: list[tuple[str, str]]) -> None:
    assert [(code, path) for code, _, path in places(checked(tmp_path, messages))] == expected


@pytest.mark.parametrize(
    "text",
    [
        "sk-proj-abcdefghijklmnop1234",
        "ghp_" + "a1" * 18,
        "AKIA" + "ABCD" * 4,
        "-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----",
        "+49 170 1234567",
        "(030) 1234 5678",
        "mina.b+x@post.lantern.club",
    ],
)
def test_redaction_hides_secrets_and_is_idempotent(text: str) -> None:
    hidden = redact_text(f"It is {text}, you know.")
    assert text not in hidden
    assert redact_text(hidden) == hidden
    assert hidden.endswith(", you know.")


def test_secret_is_never_shown(tmp_path: Path) -> None:
    outcome = checked(tmp_path, answer("My key is sk-proj-abcdefghijklmnop1234."))
    assert "abcdefghijklmnop" not in repr(outcome)
    assert outcome.excerpts == {0: "My key is [key]."}


def test_system_message_unlike_the_majority_is_reported(tmp_path: Path) -> None:
    other = {"role": "system", "content": "Be brief."}
    texts = ["Red is a colour.", "Blue as well.", "Green, too.", "And so is pink."]
    chats = [
        [first, ONE, {"role": "assistant", "content": text}]
        for first, text in zip([SYSTEM, other, SYSTEM, SYSTEM], texts, strict=True)
    ]
    outcome = checked(tmp_path, *chats, [ONE, {"role": "assistant", "content": "Black is none."}])
    assert places(outcome) == [("different-system", "01.json", "$[0]"), ("different-system", "04.json", "$[0]")]
    assert "no system message" in outcome.findings[1].message


@pytest.mark.parametrize(
    "messages",
    [
        {"role": "user", "content": "Hi, I'm Alex. Question {}?"},
        {"role": "user", "content": "Question {}?", "name": "Alex"},
        {"role": "user", "content": "Alex: Question {}?"},
    ],
)
def test_common_user_name_is_reported(tmp_path: Path, messages: dict[str, str]) -> None:
    words = ["amber", "birch", "cedar", "dune", "elm", "fern", "grove", "heath"]
    chats = [
        [messages | {"content": messages["content"].format(word)}, {"role": "assistant", "content": f"It is {word}."}]
        for word in words
    ]
    outcome = checked(tmp_path, *chats)
    assert [found.code for found in outcome.findings] == ["same-user-name"]
    assert "8 of 8 chats call the user 'Alex'" in outcome.findings[0].message


def test_duplicates_and_near_duplicates_are_reported(tmp_path: Path) -> None:
    words = " ".join(f"word{number}" for number in range(120))
    chats = [answer(f"{words} end."), answer("Something else."), answer(f"{words} end."), answer(f"{words} stop.")]
    outcome = checked(tmp_path, *chats)
    assert places(outcome) == [("duplicate-example", "02.json", "$"), ("near-duplicate", "03.json", "$")]
    assert all("00.json:1" in found.message for found in outcome.findings)


def test_unusually_long_chat_is_reported(tmp_path: Path) -> None:
    chats = [answer(f"{'short ' * number}one.") for number in range(1, 9)]
    outcome = checked(tmp_path, *chats, answer("very long. " * 900))
    assert ("unequal-lengths", "08.json", "$") in places(outcome)


def test_chat_beyond_the_training_context_is_reported(tmp_path: Path) -> None:
    rules = DatasetRules(minimum_examples=0, base_models=("gpt-4-0613", "gpt-4.1-2025-04-14"))
    outcome = checked(tmp_path, answer("word " * 8_200 + "end."), rules=rules)
    assert [found.code for found in outcome.findings] == ["too-long"]
    assert "gpt-4-0613 accepts at most 8,192" in outcome.findings[0].message
    assert outcome.summary.refused == 1


def test_findings_beyond_the_limit_are_only_counted(tmp_path: Path) -> None:
    line = json.dumps({"messages": [ONE, {"role": "assistant", "content": ""}]})
    (tmp_path / "many.jsonl").write_text("\n".join([line] * 10_050))
    outcome = check_dataset(tmp_path, DatasetRules(minimum_examples=0))
    assert outcome.counts == {"empty-content": 10_050}
    assert len(outcome.findings) == 10_000
