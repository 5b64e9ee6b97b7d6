"""Special: tokens of the base models' own formats inside a text."""

from __future__ import annotations

import re
from collections.abc import Iterator

from orchestrator.dataset.checks.texts import MessageText, iter_texts
from orchestrator.dataset.codes import FindingCode
from orchestrator.dataset.example import ExampleBody, ExampleIssue
from orchestrator.dataset.special_tokens import FOREIGN_TOKENS, OPENAI_SPECIAL_TOKENS


def check_special_tokens(body: ExampleBody, special: re.Pattern[str]) -> Iterator[ExampleIssue]:
    """Yield the special tokens of the base models in use; those refused for every base model are `message`'s."""
    for _, text, steps in iter_texts(body):
        for token in sorted({match[0] for match in special.finditer(text)}):
            if not OPENAI_SPECIAL_TOKENS.fullmatch(token):
                yield ExampleIssue(
                    FindingCode.SPECIAL_TOKEN, steps, f"the text holds {token}, a special token of the base model"
                )


def check_foreign_tokens(texts: list[MessageText], line: bytes) -> Iterator[ExampleIssue]:
    """Yield a warning for tokens of another model's format; `line` is the example's canonical form.

    Those of the base models in use are errors, so an example that comes here has none of them.
    """
    if b"<" not in line and b"INST]" not in line:
        return
    for _, text, steps in texts:
        if found := FOREIGN_TOKENS.search(text):
            yield ExampleIssue(FindingCode.FOREIGN_TOKEN, steps, f"the text holds {found[0]}")
