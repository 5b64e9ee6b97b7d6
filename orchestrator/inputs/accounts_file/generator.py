"""Generates a commented accounts file with one account from the answers to `orchestrator init`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.core.account import ProviderName
from orchestrator.core.structs import Struct, field
from orchestrator.inputs.accounts_file.editor import format_account, format_toml_value

EPOCHS = 3  # a number and not "auto", with which no price can be computed before the run
COMMENT_COLUMN = 36


class NewAccountsFile(Struct, frozen=True, kw_only=True):
    """The content of a new accounts file."""

    run: str
    dataset: str  # relative to the accounts file, or absolute
    max_total_usd: float
    provider: ProviderName
    base_model: str
    account: str
    api_key: str  # a reference
    base_url: str | None = None
    organization: str | None = None
    more: Mapping[str, str] = field(default_factory=dict)  # further options of the account


def format_accounts_file(content: NewAccountsFile) -> str:
    """Return the text of the accounts file. The caller validates it."""
    return "\n".join(_format_lines(content)) + "\n"


def _format_lines(content: NewAccountsFile) -> Iterator[str]:
    yield "# What to train, and in which accounts. Created by `orchestrator init`. The page"
    yield "# docs/reference/accounts-file.md explains every option; an option after # is not active."
    yield "# `orchestrator validate` checks an edit, `orchestrator account add` adds an account."
    yield ""
    yield "[run]"
    yield _format_option("name", content.run, "the name of this run in lists and logs")
    yield _format_option("dataset", content.dataset, "a folder of chats, or one .jsonl file")
    yield _format_option("max_total_usd", content.max_total_usd, "a run that would cost more is held")
    yield _format_inactive_option("allow_unknown_price", True, "an unknown price does not hold the run")
    yield _format_inactive_option("moderation_waived", "REASON", "why the chats need no moderation")
    yield _format_inactive_option("validation_fraction", 0.1, "fraction of the chats that is not trained")
    yield ""
    yield f"[run.{content.provider}]"
    yield _format_option("base_model", content.base_model, "the model to train")
    yield _format_option("n_epochs", EPOCHS, 'passes over the dataset; or "auto"')
    yield ""
    yield "# One block for each account. The key itself never stands in this file, only a reference:"
    yield "# env:NAME, file:PATH or cmd:COMMAND."
    options: dict[str, Any] = {
        "name": content.account,
        "provider": content.provider.value,
        "api_key": content.api_key,
        "organization": content.organization,
        "base_url": content.base_url,
        **content.more,
    }
    yield from format_account({name: value for name, value in options.items() if value is not None})
    yield _format_inactive_option("budget_usd", 10.0, "a job that would exceed it is held")
    yield _format_inactive_option("max_running_jobs", 3, "further jobs wait")


def _format_option(name: str, value: Any, comment: str, *, prefix: str = "") -> str:
    return f"{prefix}{name} = {format_toml_value(value)}".ljust(COMMENT_COLUMN) + f"  # {comment}"


def _format_inactive_option(name: str, value: Any, comment: str) -> str:
    return _format_option(name, value, comment, prefix="# ")
