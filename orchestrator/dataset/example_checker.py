"""Checks one chat alone. The result is plain values, so that another process can check a part of the chats."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec

from orchestrator.core.finding import Finding, Severity
from orchestrator.core.structs import replace
from orchestrator.core.text_sanitizer import sanitize_lines
from orchestrator.dataset.canonical_jsonl import encode_canonical, remove_empty_fields
from orchestrator.dataset.checks.conversion import ConversionChecker
from orchestrator.dataset.checks.corpus import CorpusFactBuilder, CorpusFacts, CorpusTexts
from orchestrator.dataset.checks.pii import redact_text
from orchestrator.dataset.checks.provider_rule_checker import ProviderRuleChecker
from orchestrator.dataset.checks.special_tokens import build_special_token_pattern, check_special_tokens
from orchestrator.dataset.checks.structure import check_structure
from orchestrator.dataset.checks.style import check_style
from orchestrator.dataset.checks.text_walk import iter_texts
from orchestrator.dataset.example import Example, ExampleBody, ExampleIssue
from orchestrator.dataset.finding_collector import EXCERPT_CHARACTERS, MAX_EXCERPTS_PER_CODE
from orchestrator.dataset.read.reader import ChatRecord
from orchestrator.dataset.rules import DatasetRules
from orchestrator.dataset.tokens.counter import TokenCounter, TokenCounts


class AcceptedFacts(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What is known of an example without errors."""

    format: str
    left_out: tuple[str, ...]
    line: bytes  # canonical form; empty if no texts are kept
    warnings: tuple[str, ...]  # codes
    tokens: TokenCounts
    corpus: CorpusFacts


class CheckedChat(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The findings of one chat with their excerpts, and its facts if it is accepted."""

    line: int  # where the chat starts in its file, from 1
    size: int  # bytes read for it
    findings: tuple[tuple[Finding, str], ...] = ()
    accepted: AcceptedFacts | None = None  # None: refused; then a finding is an error
    texts: CorpusTexts | None = None  # that findings about the dataset quote, if they are new


class ExampleChecker:
    """Checks chats one after the other, in the order of the dataset.

    The method of the first example decides for the others if the rules name none.
    """

    def __init__(self, rules: DatasetRules, counter: TokenCounter, *, keeps_texts: bool = True) -> None:
        """Prepare the checks. `keeps_texts`: the results have canonical lines and the excerpts of findings."""
        self._keeps_texts = keeps_texts
        self._rules = rules
        self._counter = counter
        self._provider_checker = ProviderRuleChecker(rules.providers)
        self._conversion_checker = ConversionChecker(rules.providers)
        self._special_tokens = build_special_token_pattern(rules.base_models, counter.special_tokens())
        self.start_part()

    def start_part(self) -> None:
        """Begin a part of the dataset whose results are used without those of the chats before."""
        self._excerpts: Counter[str] = Counter()  # by code; the first ones of a part may be the first of the dataset
        self._fact_builder = CorpusFactBuilder()

    def check(self, record: ChatRecord, *, early: bool) -> CheckedChat:
        """Check a chat. `early`: it may be one of the first, in which names and near-duplicates are searched."""
        findings = [(finding, "") for finding in record.findings]
        refused = any(finding.severity is Severity.ERROR for finding in record.findings)
        accepted, corpus_texts = None, None
        # A record may have both an example and errors of its text, such as a duplicate key: all of them are reported.
        if (example := record.example) is not None:
            issues = self._check_errors(example)
            if not issues and not refused:
                line, texts = encode_canonical(example.body), list(iter_texts(example.body))
                issues = list(check_style(example.body, texts, line))
                facts, corpus_texts = self._fact_builder.build(example, line, texts, early=early)
                accepted = AcceptedFacts(
                    format=example.format,
                    left_out=example.left_out,
                    line=line if self._keeps_texts else b"",
                    warnings=tuple(issue.code.slug for issue in issues),
                    tokens=self._counter.last_counts,
                    corpus=facts,
                )
            findings += [self._build_finding(example, issue) for issue in issues]
        return CheckedChat(record.line, record.size, tuple(findings), accepted, corpus_texts)

    def _check_errors(self, example: Example) -> list[ExampleIssue]:
        """Return the errors of an example. The tokens of an example without errors are counted."""
        body = example.body
        if self._rules.method is None:
            self._rules = choose_method(self._rules, body)
        issues = [*check_structure(body, self._rules), *self._provider_checker.check_example(body)]
        if self._special_tokens:
            issues += check_special_tokens(body, self._special_tokens)
        # A converter may assume a well-formed chat, as the counter does.
        issues = issues or list(self._conversion_checker.check_example(body))
        return issues or self._counter.count_example(remove_empty_fields(body))

    def _build_finding(self, example: Example, issue: ExampleIssue) -> tuple[Finding, str]:
        finding = example.to_finding(issue)
        self._excerpts[finding.code] += 1
        has_excerpt = self._keeps_texts and self._excerpts[finding.code] <= MAX_EXCERPTS_PER_CODE
        return finding, _build_excerpt(example.body, issue) if has_excerpt else ""


def choose_method(rules: DatasetRules, body: ExampleBody) -> DatasetRules:
    """Return the rules with the method of this example."""
    return replace(rules, method="supervised" if "messages" in body else "dpo")


def _build_excerpt(body: Any, issue: ExampleIssue) -> str:
    """Return the text at the issue's place or around it, without private data; long texts are cut in the middle."""
    *_, innermost = ("", *_iter_texts_on_path(body, issue))
    text = sanitize_lines(redact_text(innermost))
    if len(text) <= EXCERPT_CHARACTERS:
        return text
    return f"{text[: EXCERPT_CHARACTERS // 2]} … {text[-EXCERPT_CHARACTERS // 2 :]}"


def _iter_texts_on_path(value: Any, issue: ExampleIssue) -> Iterator[str]:
    for key in issue.key_path:
        try:
            value = value[key]
        except (KeyError, IndexError, TypeError):
            return
        inner = value.get("content") if isinstance(value, dict) else value
        if isinstance(inner, str):
            yield inner
