"""A refusal names what is wrong with an edit, without keys and fit for a database."""

from __future__ import annotations

import json

from orchestrator.core.config_refusal import MAX_TEXT_LENGTH, ConfigRefusal, build_refusal, merge_refusals
from orchestrator.core.errors import ConfigError, DatasetError
from orchestrator.core.finding import Finding, Severity
from orchestrator.core.secret import Redactor, Secret
from orchestrator.core.structs import replace


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


def test_refusal_of_one_run_keeps_its_findings_and_names_the_run() -> None:
    refusal = build(ConfigError("wrong", hint="Correct it.", problems=["line 3", "line 4"]))

    merged = merge_refusals({"tone": refusal})

    assert merged is not None
    assert merged.cause.message == "run tone: wrong"
    assert merged == replace(refusal, cause=replace(refusal.cause, message="run tone: wrong"))


def test_no_refusal_is_merged_to_none() -> None:
    assert merge_refusals({}) is None


def test_refusals_of_many_runs_are_counted_and_ten_are_named() -> None:
    by_run = {
        f"run{number:02}": replace(build(ConfigError("wrong", hint="Correct it.")), at=100.0 + (number == 3))
        for number in range(12)
    }

    merged = merge_refusals(by_run)

    assert merged is not None
    assert merged.cause.message == "12 runs were refused"
    assert merged.at == 101.0
    assert merged.findings[0] == "run run00: wrong. Correct it."
    assert (len(merged.findings), merged.more) == (10, 2)


def test_refusals_of_two_runs_without_a_hint_end_with_a_full_stop() -> None:
    refusal = build(ConfigError("wrong"))
    merged = merge_refusals(dict.fromkeys(("a", "b"), replace(refusal, cause=replace(refusal.cause, hint=""))))

    assert merged is not None
    assert (merged.findings, merged.more) == (("run a: wrong.", "run b: wrong."), 0)


def test_unexpected_error_is_named_by_the_system_or_by_its_class_and_never_quoted() -> None:
    errors = [OSError(13, "Permission denied"), OSError("api_key = sk-1"), ValueError("api_key = sk-1")]

    messages = [build(error).cause.message.rpartition(": ")[2] for error in errors]

    assert messages == ["Permission denied", "OSError", "ValueError"]
    assert build(ValueError("x")).cause.kind == "internal_error"
