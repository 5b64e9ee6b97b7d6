"""Bodies of validate, account add and account remove."""

from __future__ import annotations

import asyncio
import difflib
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator.cli.session import CommandSession
from orchestrator.core.errors import ConfigError
from orchestrator.core.jobs.lifecycle import TERMINAL_STATES
from orchestrator.core.text import format_count
from orchestrator.core.text_sanitizer import sanitize_line, sanitize_lines
from orchestrator.inputs.accounts_file.document import read_accounts_file
from orchestrator.inputs.accounts_file.editor import add_account, remove_account
from orchestrator.inputs.accounts_file.loader import AccountsFile, load_accounts_file, parse_accounts_file
from orchestrator.inputs.secrets.references import parse_reference
from orchestrator.system.atomic_file import replace_file
from orchestrator.system.regular_file import read_regular_file

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
PASTED_KEY_HINT = (
    "Set the key in an environment variable or a file, for example ACME_KEY, and write --api-key env:ACME_KEY. "
    "If this was a real key, replace it: it is now in the history of your shell."
)


def validate_file(path: Path) -> None:
    """Print a summary of a valid accounts file and its warnings. Raises ConfigError with every problem."""
    file = load_accounts_file(path)
    counts = Counter(account.provider for account in file.accounts)
    parts = ", ".join(f"{count} at {provider}" for provider, count in counts.items())
    sys.stdout.write(
        sanitize_line(f"{path} is valid: {format_count(len(file.accounts), 'account')} ({parts}).") + "\n"
    )
    _print_warnings(file)


def add_account_to_file(path: Path, options: Mapping[str, Any], *, dry_run: bool) -> None:
    """Add an account with the options that are not None. Raises ConfigError if the result would not be valid."""
    validate_key_reference(options["api_key"])
    load_accounts_file(path)  # first: a problem that the file already has must not look like one of the edit
    text = read_accounts_file(path)
    edited = add_account(text, {name: value for name, value in options.items() if value is not None})
    _apply_edit(path, text, edited, dry_run=dry_run, done=f"Added {options['name']}")


def remove_account_from_file(session: CommandSession, name: str, *, dry_run: bool) -> None:
    """Remove an account, and warn about its unfinished jobs. Raises ConfigError if the result would not be valid."""
    path = session.settings.accounts_file
    load_accounts_file(path)
    text = read_accounts_file(path)
    edited = remove_account(text, name)
    unfinished = asyncio.run(_count_unfinished_jobs(session, name))
    _apply_edit(path, text, edited, dry_run=dry_run, done=f"Removed {name}")
    if unfinished:
        verb, first = ("would stop", "") if dry_run else ("stops", "add the account again and ")
        sys.stderr.write(
            f"warning: {name} has {format_count(unfinished, 'unfinished job')}. The service {verb} polling it,\n"
            "but the provider may continue to train and to charge. To cancel it,\n"
            f"{first}run `orchestrator cancel {name}`.\n"
        )


def parse_account_options(options: Sequence[str]) -> dict[str, str]:
    """Parse the values of `--option`. Raises ConfigError for one that is not NAME=VALUE."""
    parsed = {}
    for text in options:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise ConfigError("--option must be NAME=VALUE", hint="For example: --option region=us-central1")
        parsed[name] = value
    return parsed


def validate_key_reference(reference: str) -> None:
    """Raise ConfigError, which does not repeat the text, if it is not a reference to a key."""
    try:
        parse_reference(reference, "--api-key")
    except ValueError as error:
        text = str(error).partition("; put the key elsewhere")[0]
        raise ConfigError(f"--api-key {text}", hint=PASTED_KEY_HINT) from None


async def _count_unfinished_jobs(session: CommandSession, name: str) -> int:
    from orchestrator.app import has_database, open_app

    if not has_database(session.settings):
        return 0
    async with open_app(session.settings, session.redact) as app:
        jobs = (await app.read_status()).jobs
    return sum(job.account == name and job.state not in TERMINAL_STATES for job in jobs)


def _apply_edit(path: Path, text: str, edited: str, *, dry_run: bool, done: str) -> None:
    """Validate the edited text, then print it as a diff or write it."""
    try:
        file = parse_accounts_file(path, edited)
    except ConfigError as error:
        raise ConfigError(
            f"the edited {path} would not be valid; nothing was written", hint=error.hint, problems=error.problems
        ) from None
    if dry_run:
        sys.stdout.write(_format_diff(path, text, edited))
        _print_warnings(file)
        return
    before = read_regular_file(path)
    mark = BYTE_ORDER_MARK if before.startswith(BYTE_ORDER_MARK) else b""
    if before != mark + text.encode():
        raise ConfigError(f"{path} was changed by someone else meanwhile; nothing was written", hint="Try again.")
    write_accounts_file(path, mark + edited.encode())
    sys.stdout.write(sanitize_line(f"{done}: {path} now has {format_count(len(file.accounts), 'account')}.") + "\n")
    _print_warnings(file)


def write_accounts_file(path: Path, content: bytes) -> None:
    """Write the file as a whole. Raises ConfigError if its folder cannot be written."""
    try:
        replace_file(path, content)
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be written ({error.strerror})", hint="Run the command as a user who may write its folder."
        ) from None


def _format_diff(path: Path, text: str, edited: str) -> str:
    before, after = (part.replace("\r\n", "\n").split("\n") for part in (text, edited))
    rows = difflib.unified_diff(before, after, str(path), f"{path} (edited)", lineterm="")
    return sanitize_lines("\n".join(rows)) + "\n"


def _print_warnings(file: AccountsFile) -> None:
    for warning in file.warnings:
        sys.stderr.write(f"warning: {sanitize_line(warning)}\n")
