"""Identifiers and messages as pages show them."""

from __future__ import annotations

import pytest

from orchestrator.core.hold import HoldKind
from orchestrator.web.template_filters import format_identifier, render_message


@pytest.mark.parametrize(
    ("identifier", "words"),
    [("key_invalid", "key invalid"), ("n_epochs", "epochs"), (HoldKind.RUN_TOO_EXPENSIVE.value, "run too expensive")],
)
def test_identifier_is_shown_as_words(identifier: str, words: str) -> None:
    assert format_identifier(identifier) == words


def test_message_is_escaped_and_its_commands_are_code() -> None:
    assert render_message("Run `approve` <b>") == "Run <code>approve</code> &lt;b&gt;"
