"""The rules of the providers: each has a refused and an accepted example, and the check applies them."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.account import ProviderName
from orchestrator.dataset.builder import build_dataset
from orchestrator.dataset.checker import check_dataset
from orchestrator.dataset.checks.images import ImageReference
from orchestrator.dataset.checks.provider_rule_checker import (
    CONTENT_CHECKS,
    COUNT_RULE_KINDS,
    IMAGE_CHECKS,
    ORDER_CHECKS,
    ProviderRuleChecker,
)
from orchestrator.dataset.checks.structure import check_structure
from orchestrator.dataset.example import ExampleBody
from orchestrator.dataset.finding_codes import FindingCode
from orchestrator.dataset.provider_rule_examples import find_rule_examples
from orchestrator.dataset.provider_rules import PROVIDER_RULES, ProviderRule, RuleKind
from orchestrator.dataset.rules import DatasetRules

USER = {"role": "user", "content": "What is one and one?"}
ANSWER = {"role": "assistant", "content": "Two."}
SYSTEM = {"role": "system", "content": "Be brief."}
CALL = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": "{}"}}
CALLING = {"role": "assistant", "tool_calls": [CALL]}
TOOL = {"role": "tool", "tool_call_id": "call_1", "content": "2"}
TOOLS = [{"type": "function", "function": {"name": "add"}}]
TOGETHER, FIREWORKS, NEBIUS = ProviderName.TOGETHER, ProviderName.FIREWORKS, ProviderName.NEBIUS
OPENAI = ProviderName.OPENAI


def format_rule_id(rule: ProviderRule) -> str:
    return f"{rule.provider}-{rule.kind.slug}"


def find_issues(body: ExampleBody, *providers: ProviderName) -> list[tuple[FindingCode, Any]]:
    return [(issue.code, issue.key_path) for issue in ProviderRuleChecker(providers).check_example(body)]


def chat(*messages: Any, **more: Any) -> ExampleBody:
    return {"messages": list(messages), **more}


def image_chat(url: str) -> ExampleBody:
    part = {"type": "image_url", "image_url": {"url": url}}
    return chat({"role": "user", "content": [{"type": "text", "text": "See?"}, part]}, ANSWER)


def embedded(data: bytes, declared: str = "png") -> str:
    return f"data:image/{declared};base64,{base64.b64encode(data).decode()}"


PER_EXAMPLE = [rule for rule in PROVIDER_RULES if rule.kind not in COUNT_RULE_KINDS]


@pytest.mark.parametrize("rule", PER_EXAMPLE, ids=format_rule_id)
def test_each_rule_refuses_one_example_and_accepts_another(rule: ProviderRule) -> None:
    examples = find_rule_examples(rule)
    assert examples is not None
    checks = ProviderRuleChecker([rule.provider])
    refused = list(checks.check_example(examples.refused))
    assert rule.kind.code in [issue.code for issue in refused]
    assert all(issue.message.startswith(f"{rule.provider}: ") for issue in refused)
    assert list(checks.check_example(examples.accepted)) == []


@pytest.mark.parametrize("rule", PER_EXAMPLE, ids=format_rule_id)
def test_rule_examples_have_no_other_error(rule: ProviderRule) -> None:
    examples = find_rule_examples(rule)
    assert examples is not None
    assert [issue for body in examples for issue in check_structure(body, DatasetRules())] == []


@pytest.mark.parametrize(
    "rule", [rule for rule in PROVIDER_RULES if rule.kind in COUNT_RULE_KINDS], ids=format_rule_id
)
def test_count_rule_has_its_limit(rule: ProviderRule) -> None:
    checks = ProviderRuleChecker([rule.provider])
    assert list(checks.check_counts(rule.limit, rule.limit if rule.limit < 1_000_000 else 0)) == []
    broken = list(checks.check_counts(rule.limit + 1, rule.limit + 1 if rule.limit < 1_000_000 else 0))
    assert rule in [each for each, _ in broken]


def test_every_rule_kind_is_checked_and_used() -> None:
    checked = [*ORDER_CHECKS, *CONTENT_CHECKS, *IMAGE_CHECKS, *COUNT_RULE_KINDS]
    assert sorted(checked, key=lambda kind: kind.slug) == sorted(RuleKind, key=lambda kind: kind.slug)
    assert {rule.kind for rule in PROVIDER_RULES} == set(RuleKind)
    assert all(rule.source.startswith("https://") for rule in PROVIDER_RULES)


@pytest.mark.parametrize(
    ("messages", "at"),
    [
        ([USER, USER, ANSWER], 1),
        ([ANSWER, USER, ANSWER], 0),
        ([SYSTEM, ANSWER, USER, ANSWER], 1),
        ([USER, ANSWER, ANSWER], 2),
        ([SYSTEM, SYSTEM, USER, ANSWER], 1),
        ([USER, SYSTEM, ANSWER], 1),
        ([USER, CALLING, TOOL, USER, ANSWER], 3),
    ],
)
def test_together_requires_alternating_turns(messages: list[Any], at: int) -> None:
    assert find_issues(chat(*messages), TOGETHER) == [(FindingCode.WRONG_ORDER, ("messages", at, "role"))]
    assert find_issues(chat(*messages), OPENAI) == []


@pytest.mark.parametrize(
    "messages",
    [
        [USER, ANSWER, USER, ANSWER],
        [SYSTEM, USER, ANSWER],
        [SYSTEM | {"content": " "}, SYSTEM, USER, ANSWER],  # an empty system message is not written
        [USER, SYSTEM | {"content": ""}, ANSWER],
        [USER, CALLING, TOOL, TOOL, ANSWER],
        [USER, CALLING],
    ],
)
def test_together_accepts_alternating_turns(messages: list[Any]) -> None:
    assert find_issues(chat(*messages), TOGETHER) == []
    assert find_issues(chat(*messages), FIREWORKS) == []


def test_input_of_a_pair_must_alternate() -> None:
    pair = {"input": chat(USER, USER), "preferred_output": [ANSWER], "non_preferred_output": [ANSWER]}
    assert find_issues(pair, TOGETHER) == [(FindingCode.WRONG_ORDER, ("input", "messages", 1, "role"))]


def test_fireworks_accepts_parts_only_with_images() -> None:
    parts = [{"type": "text", "text": "Hi"}]
    assert find_issues(chat({"role": "user", "content": parts}, ANSWER), FIREWORKS) == [
        (FindingCode.CONTENT_IN_PARTS, ("messages", 0, "content"))
    ]
    shown = image_chat(embedded(b"\x89PNG"))
    shown["messages"][1] = {"role": "assistant", "content": parts}
    assert find_issues(shown, FIREWORKS) == []
    assert find_issues(shown, OPENAI) == [(FindingCode.CONTENT_IN_PARTS, ("messages", 1, "content"))]


def test_providers_with_the_same_rule_share_one_finding() -> None:
    many = {"role": "user", "content": [{"type": "image_url", "image_url": {"url": embedded(b"GIF89a")}}] * 11}
    messages = [issue.message for issue in ProviderRuleChecker(ProviderName).check_example(chat(many, ANSWER))]
    assert sum(message.startswith("openai, azure, together: the image is GIF") for message in messages) == 11
    assert sum(message.startswith("openai, together: the example has 11 images") for message in messages) == 1


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        (embedded(b"GIF89a..", "png"), "gif"),  # by its first bytes, not by what it declares
        (embedded(b"\xff\xd8\xff\xe0", "png"), "jpeg"),
        (embedded(b"RIFF1234WEBPVP8 ", "webp"), "webp"),
        (embedded(b"nothing known", "bmp"), "bmp"),
        ("https://a.example/x.GIF?size=1", "gif"),
        ("https://a.example/x", None),
        ("https://a.example/x.php", None),
        ("data:image/png;base64,A", "png"),
    ],
)
def test_image_has_its_type(url: str, kind: str | None) -> None:
    assert ImageReference(url, ()).image_type == kind


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5, 100])
def test_size_of_an_embedded_image_is_exact(size: int) -> None:
    assert ImageReference(embedded(b"x" * size), ()).size_bytes == size


@pytest.mark.parametrize(
    ("url", "public"),
    [
        ("http://127.0.0.1/x.png", False),
        ("http://localhost:8000/x.png", False),
        ("http://192.168.1.7/x.png", False),
        ("http://[::1]/x.png", False),
        ("http://nas.local/x.png", False),
        ("http://fileserver/x.png", False),
        ("http://[oops/x.png", False),
        ("https://images.example.org/x.png", True),
        ("https://8.8.8.8/x.png", True),
        (embedded(b"x"), True),
    ],
)
def test_image_is_public_or_not(url: str, *, public: bool) -> None:
    assert ImageReference(url, ()).is_public is public


def write(folder: Path, *bodies: ExampleBody) -> Path:
    path = folder / "chats.jsonl"
    path.write_text("".join(json.dumps(body) + "\n" for body in bodies))
    return path


def test_check_applies_the_rules_of_the_listed_providers(tmp_path: Path) -> None:
    path = write(tmp_path, chat(USER, USER, ANSWER), chat(USER, ANSWER))
    rules = DatasetRules(minimum_examples=0, providers=(NEBIUS, TOGETHER))
    checked = check_dataset(path, rules)
    assert [(one.code, one.line, one.path) for one in checked.errors] == [("wrong-order", 1, "$.messages[1].role")]
    assert "together" in checked.errors[0].message
    assert check_dataset(path, DatasetRules(minimum_examples=0, providers=(NEBIUS,))).errors == ()


def test_openai_rules_apply_without_an_accounts_file(tmp_path: Path) -> None:
    path = write(tmp_path, image_chat(embedded(b"GIF89a", "gif")), chat(USER, CALLING, TOOL, ANSWER, tools=TOOLS))
    checked = check_dataset(path, DatasetRules(minimum_examples=0))
    assert [one.code for one in checked.errors] == ["bad-image"]
    image = {"type": "image_url", "image_url": {"url": "https://a.example/x.png"}}
    parts = [{"type": "text", "text": "2"}]
    asked = chat({"role": "user", "content": [image] * 11}, CALLING, TOOL | {"content": parts}, ANSWER, tools=TOOLS)
    checked = check_dataset(write(tmp_path, asked), DatasetRules(minimum_examples=0))
    assert [one.code for one in checked.errors] == ["content-in-parts", "too-many-images"]


def test_too_many_examples_are_an_error_of_the_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rules = (
        ProviderRule(OPENAI, RuleKind.MAXIMUM_EXAMPLES, "https://a.example", limit=3),
        ProviderRule(OPENAI, RuleKind.MAXIMUM_IMAGE_EXAMPLES, "https://a.example", limit=1),
    )
    monkeypatch.setattr("orchestrator.dataset.provider_rules.PROVIDER_RULES", rules)
    image_example = image_chat(embedded(b"\x89PNG"))
    path = write(tmp_path, chat(USER, ANSWER), image_example, image_example, chat(SYSTEM, USER, ANSWER))
    result = check_dataset(path, DatasetRules(minimum_examples=0))
    assert [(one.code, one.message) for one in result.errors] == [
        ("too-many-examples", "there are 4 training examples, openai accepts at most 3"),
        ("too-many-examples", "there are 2 examples with images, openai accepts at most 1"),
    ]


def test_accepted_examples_keep_their_bytes(tmp_path: Path) -> None:
    """Parts from a user stay parts: a rule refuses, and never rewrites, so that no dataset gets another identity."""
    parts = [{"type": "text", "text": "Hi"}]
    body = chat({"role": "user", "content": parts}, ANSWER)
    built = build_dataset(write(tmp_path, body), tmp_path / "out", DatasetRules(minimum_examples=0))
    assert json.loads(built.dataset.training.path.read_text()) == body
