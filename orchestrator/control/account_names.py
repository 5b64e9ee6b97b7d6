"""Unknown: the error for an account's name that no account has, with the name that was probably meant."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from orchestrator.core.errors import ConfigError
from orchestrator.core.text import format_list
from orchestrator.inputs.accounts_file.problems import format_suggestion

MAX_LISTED_NAMES: Final = 20


def unknown_accounts_error(unknown: Collection[str], known: Collection[str]) -> ConfigError:
    """What is wrong with these names, and which names there are."""
    wrong = ", ".join(f"{name}{format_suggestion(name, known)}" for name in unknown)
    listed = format_list(sorted(known), limit=MAX_LISTED_NAMES)
    return ConfigError(
        f"no account is named {wrong}",
        hint=f"Known accounts: {listed or 'none yet'}.",
    )
