"""The result of a check as text, JSON and SARIF; and the page that explains every code."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path

import pytest

from orchestrator.dataset.checker import check_dataset
from orchestrator.dataset.finding_codes import FindingCode
from orchestrator.dataset.output.formatters import to_json, to_sarif, to_text
from orchestrator.dataset.rules import DatasetRules
from orchestrator.dataset.summary import CheckResult

DOCS = Path(__file__).parents[4] / "docs"


@pytest.fixture
def checked(tmp_path: Path) -> CheckResult:
    folder = tmp_path / "chats"
    folder.mkdir()
    (folder / "größe 1.json").write_text('[\n{"role": "bot", "content": ""},\n{"role": "assistant", "content": "x"}]')
    (folder / "b.jsonl").write_text(
        '{"messages": [{"role": "assistant", "content": "Call +49 170 1234567."}], "model": "gpt-4.1"}\n{'
    )
    (folder / "notes.md").write_text("hello")
    return check_dataset(folder, DatasetRules(base_models=("gpt-4.1-2025-04-14", "llama"), minimum_examples=1))


def test_text_output_matches_the_example(checked: CheckResult) -> None:
    assert to_text(checked) == (
        "b.jsonl:1 $.messages[0].content: warning: the text contains a possible telephone number [phone-number]\n"
        "    Remove it if it belongs to a real person; `orchestrator polish` can redact it.\n"
        "b.jsonl:2 $: error: not valid JSON: expected a key in double quotes or "
        '"}" (line 2, column 2) [invalid-json]\n'
        "    Correct the text at the reported line and column.\n"
        "größe 1.json:2 $[0].role: error: the role is 'bot' [unknown-role]\n"
        '    Use "assistant".\n'
        "größe 1.json:2 $[0].content: error: the text is empty [empty-content]\n"
        "    Write the text, or delete the message.\n"
        "2 files, 3 chats: 1 example (format: 1 × request), 2 refused\n"
        "not read: notes.md\n"
        'left out (not part of the training format): 1 × key "model"\n'
        "gpt-4.1-2025-04-14: 17 tokens\n"
        "llama: about 17 tokens (estimated)\n"
        "3 errors: 1 × empty-content, 1 × invalid-json, 1 × unknown-role\n1 warning: 1 × phone-number\n"
    )


def test_json_output_matches_the_example(checked: CheckResult) -> None:
    value = json.loads(json.dumps(to_json(checked)))
    assert (value["schema"], value["errors"], value["warnings"]) == (1, 3, 1)
    assert value["findings"][-1] == {
        "code": "empty-content",
        "severity": "error",
        "file": "größe 1.json",
        "line": 2,
        "path": "$[0].content",
        "message": "the text is empty",
        "hint": "Write the text, or delete the message.",
    }
    summary = value["summary"]
    assert (summary["chats"], summary["examples"], summary["refused"], summary["ignored"]) == (3, 1, 2, ["notes.md"])
    assert summary["files"][0]["formats"] == {"request": 1}
    assert summary["roles"] == {"assistant": 1}


def test_sarif_output_is_valid(checked: CheckResult) -> None:
    value = json.loads(json.dumps(to_sarif(checked)))
    (run,) = value["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert value["version"] == "2.1.0"
    assert [rules[result["ruleIndex"]]["id"] for result in run["results"]] == [
        found.code for found in checked.findings
    ]
    assert run["results"][-1]["level"] == "error"
    assert run["results"][-1]["locations"] == [
        {
            "physicalLocation": {"artifactLocation": {"uri": "gr%C3%B6%C3%9Fe%201.json"}, "region": {"startLine": 2}},
            "logicalLocations": [{"fullyQualifiedName": "$[0].content"}],
        }
    ]


def test_findings_page_matches_the_table() -> None:
    page = runpy.run_path(str(DOCS / "generate_findings.py"))["page"]()
    written = (DOCS / "findings.md").read_text(encoding="utf-8")
    assert written == page, "docs/findings.md has drifted; run: python docs/generate_findings.py"


def test_codes_are_unique_and_have_a_hint() -> None:
    slugs = [code.slug for code in FindingCode]
    assert len(set(slugs)) == len(slugs) == len(FindingCode.__members__)
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", slug) for slug in slugs)
    assert all(code.meaning.endswith((".", ")")) and code.hint.endswith(".") for code in FindingCode)


def test_every_code_occurs_in_the_tests() -> None:
    tests = "".join(path.read_text("utf-8") for path in Path(__file__).parents[1].rglob("test_*.py"))
    assert [code.slug for code in FindingCode if f'"{code.slug}"' not in tests] == []
