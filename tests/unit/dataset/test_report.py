"""The HTML report is one page that loads nothing, redacts secrets and escapes all texts."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

from orchestrator.dataset.checker import check_dataset
from orchestrator.dataset.moderation.runner import ModerationResult
from orchestrator.dataset.output.html_report import to_html
from orchestrator.dataset.rules import DatasetRules

SAMPLES = Path(__file__).parents[3] / "chats"


class Page(HTMLParser):
    """Tags, and the values of attributes that could load something."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [value or "" for name, value in attrs if name in ("src", "href", "action", "data")]
        if tag not in ("meta", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_report_of_the_sample_chats(tmp_path: Path) -> None:
    rules = DatasetRules(base_models=("gpt-4.1-mini-2025-04-14", "llama"))
    text = to_html(
        check_dataset(SAMPLES, rules), title="chats & more", moderation=ModerationResult(texts=142, known=142)
    )
    page = Page(text)
    assert page.open == []
    assert "script" not in page.tags
    assert page.loads == ["data:,"]
    for piece in (
        "This dataset can be used.",
        "chats &amp; more",
        "14-two-dice",
        "estimated",
        "5,200",
        "No findings",
    ):
        assert piece in text
    assert "142 of 142 texts moderated, 0 flagged." in text
    assert page.tags.count("svg") == 2


def test_excerpts_are_escaped_and_redacted(tmp_path: Path) -> None:
    text = "<script>alert(1)</script> my key is sk-proj-abcdefghijklmnop1234"
    messages = [{"role": "user", "content": text}, {"role": "assistant", "content": ""}]
    (tmp_path / "<b>.json").write_text(json.dumps(messages))
    (tmp_path / "ok.json").write_text(json.dumps([*messages, {"role": "assistant", "content": "x"}][::2]))
    text = to_html(check_dataset(tmp_path), title="x")
    page = Page(text)
    assert page.open == []
    assert not {"script", "b>"} & set(page.tags)
    assert "abcdefghijklmnop" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt; my key is [key]" in text
    assert "&lt;b&gt;.json" in text
    assert "This dataset has errors and cannot be used." in text


def test_findings_beyond_the_limit_are_counted(tmp_path: Path) -> None:
    row = json.dumps({"messages": [{"role": "assistant", "content": ""}]})
    (tmp_path / "many.jsonl").write_text("\n".join([row] * 120))
    text = to_html(check_dataset(tmp_path), title="x")
    assert text.count("many.jsonl:") == 50
    assert "and 70 more" in text


def test_empty_dataset_has_a_report(tmp_path: Path) -> None:
    assert Page(to_html(check_dataset(tmp_path), title="x")).open == []
