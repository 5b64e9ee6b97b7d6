"""Special: tokens of the base models' own formats inside a text."""

from __future__ import annotations

import re
from collections.abc import Iterator

from orchestrator.dataset.checks.texts import Said, said
from orchestrator.dataset.codes import Code
from orchestrator.dataset.example import Body, Fault
from orchestrator.dataset.special_tokens import ALWAYS, FOREIGN


def special_token_errors(body: Body, special: re.Pattern[str]) -> Iterator[Fault]:
    """Yield the special tokens of the base models in use; those refused for every base model are `message`'s."""
    for _, text, steps in said(body):
        for token in sorted({match[0] for match in special.finditer(text)}):
            if not ALWAYS.fullmatch(token):
                yield Fault(Code.SPECIAL_TOKEN, steps, f"the text holds {token}, a special token of the base model")


def foreign_token_advice(texts: list[Said], line: bytes) -> Iterator[Fault]:
    """Yield a warning for tokens of another model's format; `line` is the example's canonical form.

    Those of the base models in use are errors, so an example that comes here has none of them.
    """
    if b"<" not in line and b"INST]" not in line:
        return
    for _, text, steps in texts:
        if found := FOREIGN.search(text):
            yield Fault(Code.FOREIGN_TOKEN, steps, f"the text holds {found[0]}")
