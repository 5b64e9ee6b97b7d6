"""A refusal names what is wrong with an edit, without keys and fit for a database."""

from __future__ import annotations

import json

from orchestrator.core.config_refusal import MAX_TEXT_LENGTH, ConfigRefusal, build_refusal
from orchestrator.core.errors import ConfigError, DatasetError
from orchestrator.core.finding import Finding, Severity
from orchestrator.core.secret import Redactor, Secret


def build(error: Exception, *keys: str) -> ConfigRefusal:
    redact = Redactor()
    for key in keys:
        redact.add(Secret(key))
    return build_refusal(error, at=100.0, redact=redact)


def test_reload_error_names_ten_problems_and_counts_the_rest() -> None:
    problems = [f"accounts.toml:{line}: wrong" for line in range(12)]

    refusal = build(ConfigError("accounts.toml has 12 faults", problems=problems))

    assert (refusal.findings, refusal.more) == (tuple(problems[:10]), 2)
    message = refusal.failure.message
    assert message.startswith("accounts.toml has 12 faults (accounts.toml:0: wrong; ")
    assert message.endswith("accounts.toml:9: wrong; and 2 more)")


def test_every_finding_of_the_dataset_is_named() -> None:
    findings = [
        Finding(code="empty-file", severity=Severity.ERROR, file=name, line=None, path="", message="empty", hint="")
        for name in ("a.json", "b.json")
    ]

    assert build(DatasetError("no", findings=findings)).failure.message == "no (a.json:1: empty; b.json:1: empty)"
    assert build(DatasetError("a.json:1: empty", findings=findings[:1])).failure.message == "a.json:1: empty"


def test_reload_error_survives_storage() -> None:
    refusal = build(ConfigError("wrong", hint="Correct it.", problems=["line 3", "line 4"]))

    assert ConfigRefusal.from_dict(json.loads(json.dumps(refusal.as_dict()))) == refusal


def test_reload_error_contains_no_key() -> None:
    key = "sk-proj-0123456789abcdef"

    refusal = build(ConfigError(f"a {key}", hint=f"b {key}", problems=[f"c {key}"]), key)

    assert key not in str(refusal)
    assert "sk-proj-0123" not in str(refusal)


def test_a_text_of_any_size_and_any_characters_can_be_stored() -> None:
    refusal = build(ConfigError("x" * 5000, problems=["caf\udce9.json: no\0thing", "y" * 5000]))

    assert refusal.findings[0] == "caf?.json: nothing"
    assert [len(text) for text in (refusal.cause.message, refusal.findings[1])] == [MAX_TEXT_LENGTH] * 2
