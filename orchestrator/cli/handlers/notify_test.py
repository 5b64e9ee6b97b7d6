"""The body of the command `notify-test`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import Final

from orchestrator.app.notification_test import TargetResult, send_test_message
from orchestrator.cli.exit_code import ExitCode
from orchestrator.cli.output import print_json
from orchestrator.cli.session import CommandSession
from orchestrator.cli.tables import Column, print_table
from orchestrator.core.errors import ConfigError
from orchestrator.core.notifications.delivery import NotificationTarget
from orchestrator.core.text import format_count, format_list
from orchestrator.core.text_sanitizer import sanitize_line
from orchestrator.inputs.accounts_file.loader import load_accounts_file
from orchestrator.inputs.accounts_file.problems import format_suggestion
from orchestrator.inputs.secrets.references import looks_like_key

COLUMNS: Final = (
    Column(heading="target"),
    Column(heading="kind", importance=1),
    Column(heading="result", wraps=True),
)


def send_test_messages(session: CommandSession, name: str | None, *, as_json: bool, wide: bool) -> ExitCode:
    """Send a test message to every target, or to the one with this name, and print each result.

    Returns FAILED if any message was not accepted. Raises ConfigError if there is no such target.
    """
    file = load_accounts_file(session.settings.accounts_file)
    targets = _select_targets(file.targets, name)
    results = asyncio.run(send_test_message(file, targets, session.settings, session.redact))
    if as_json:
        print_json([_result_to_json(result) for result in results])
    else:
        _print_results(results, wide=wide)
    return ExitCode.FAILED if any(result.error for result in results) else ExitCode.DONE


def _select_targets(targets: Sequence[NotificationTarget], name: str | None) -> Sequence[NotificationTarget]:
    if not targets:
        raise ConfigError(
            "the accounts file has no [[webhooks]] and no [[alerts]]",
            hint="Add one: docs/how-to/webhooks.md has an example of each.",
        )
    known = [target.url for target in targets]
    if name is not None and name not in known:
        shown = "that was passed" if looks_like_key(name) else f"{name}{format_suggestion(name, known)}"
        raise ConfigError(
            f"no webhook or alert has the url {shown}",
            hint=f"The accounts file has {format_list(known)}.",
        )
    return [target for target in targets if name in (None, target.url)]


def _print_results(results: Sequence[TargetResult], *, wide: bool) -> None:
    rows = [
        (
            result.target.url,
            result.target.channel,
            f"failed: {result.error}" if result.error else f"accepted after {result.seconds or 0:.2f} s",
        )
        for result in results
    ]
    print_table(COLUMNS, rows, wide=wide)
    failed = [result for result in results if result.error]
    if failed:
        sys.stdout.write(f"{len(failed)} of {format_count(len(results), 'test message')} failed.\n")
        for hint in dict.fromkeys(result.hint for result in failed if result.hint):
            sys.stdout.write(sanitize_line(hint) + "\n")


def _result_to_json(result: TargetResult) -> dict[str, object]:
    return {
        "target": result.target.url,
        "channel": result.target.channel,
        "accepted": result.error is None,
        "seconds": None if result.seconds is None else round(result.seconds, 3),
        "error": result.error,
        "hint": result.hint,
    }
