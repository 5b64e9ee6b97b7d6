"""The HTML report is one page that loads nothing, redacts secrets and escapes all texts."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

from orchestrator.dataset.checker import check_dataset
from orchestrator.dataset.example import Example
from orchestrator.dataset.moderation.runner import ModerationResult
from orchestrator.dataset.output.html_report import JobPrice, to_html
from orchestrator.dataset.output.report_examples import MAX_SHOWN_LINE_BYTES, ReportExamples
from orchestrator.dataset.rules import DatasetRules

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNkYAAAAAYAAjCB0C8AAAAASUVORK5CYII="
SAMPLES = Path(__file__).parents[4] / "chats"


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
        if tag not in ("meta", "link", "img"):
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


def report(folder: Path, rules: DatasetRules | None = None, price: JobPrice | None = None) -> str:
    examples = ReportExamples()
    return to_html(check_dataset(folder, rules, observer=examples), title="x", examples=examples, price=price)


def test_report_has_histograms_with_axes_and_the_cost_by_length(tmp_path: Path) -> None:
    rules = DatasetRules(base_models=("gpt-4.1-mini-2025-04-14",))
    text = report(SAMPLES, rules, JobPrice(2.5, "Estimated price of one job: $2.50."))
    page = Page(text)
    assert page.open == []
    assert "script" not in page.tags
    for piece in ("Tokens per example", "Cost by length", "Turns per example", "Estimated price of one job: $2.50."):
        assert piece in text
    assert text.count('class="x-axis"') == text.count('class="y-axis"') == 3
    assert "Share of the tokens" not in text
    assert "Share of the tokens" in report(SAMPLES, rules)
    assert report(SAMPLES).count('class="x-axis"') == 1  # without a base model there are no tokens


def test_report_shows_examples_of_each_finding_escaped_and_redacted(tmp_path: Path) -> None:
    rows = [
        {"role": "user", "content": "<script>alert(1)</script> jane.doe@acme-corp.com sk-proj-abcdefghijklmnop1234"},
        {"role": "assistant", "content": "<img src=x onerror=alert(1)>"},
    ]
    lines = [json.dumps({"messages": [{"role": "system", "content": str(n)}, *rows]}) for n in range(9)]
    (tmp_path / "<b>.jsonl").write_text("\n".join(lines))
    text = report(tmp_path)
    page = Page(text)
    assert page.open == []
    assert page.loads == ["data:,"]
    assert not {"script", "b>", "img"} & set(page.tags)
    assert "jane.doe" not in text
    assert "abcdefghijklmnop" not in text
    assert text.count('<article class="example">') == 3
    assert 'class="warning">email-address</code>' in text
    assert "Example 3 <span" in text
    assert "&lt;b&gt;.jsonl:3" in text


def test_pictures_are_embedded_and_tools_are_named(tmp_path: Path) -> None:
    urls = [f"data:image/png;base64,{PIXEL}", "https://tracker.example/pixel.png"]
    parts = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    tool = {"type": "function", "function": {"name": "find_order", "parameters": {"type": "object"}}}
    call = {"id": "1", "type": "function", "function": {"name": "find_order", "arguments": '{"order": 7}'}}
    chat = {
        "messages": [
            {"role": "user", "content": parts},
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "1", "content": "shipped"},
            {"role": "assistant", "content": "It is on its way."},
        ],
        "tools": [tool],
    }
    (tmp_path / "a.jsonl").write_text(json.dumps(chat))
    text = report(tmp_path)
    assert Page(text).loads == ["data:,", urls[0]]
    assert "Tool find_order" in text
    assert "Call of find_order" in text
    assert urls[1] in text


def test_huge_examples_are_counted_but_not_shown() -> None:
    examples = ReportExamples()
    example = Example("a.jsonl", 1, "chat", {"messages": [{"role": "user"}]}, lambda _: (None, ""))
    examples.add(example, b" " * (MAX_SHOWN_LINE_BYTES + 1), ["email-address"], (7, True))
    assert (list(examples.tokens), list(examples.turns), examples.shown) == ([7], [1], [])


def test_empty_dataset_has_a_report(tmp_path: Path) -> None:
    assert Page(report(tmp_path)).open == []
