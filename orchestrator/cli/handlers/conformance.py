"""Body of `conformance`: announces the test, runs it and prints its table."""

from __future__ import annotations

import asyncio
import sys
import textwrap
from typing import Final

from orchestrator.app.conformance import (
    ConformanceOptions,
    ConformanceReport,
    ContractCheck,
    ContractResult,
    prepare_conformance_test,
    report_to_json,
)
from orchestrator.cli.exit_code import ExitCode
from orchestrator.cli.output import print_json
from orchestrator.cli.session import CommandSession
from orchestrator.cli.tables import Column, print_table
from orchestrator.core.text_sanitizer import sanitize_line
from orchestrator.inputs.accounts_file.loader import load_accounts_file

CONFORMANCE_COLUMNS: Final = (
    Column(heading="contract"),
    Column(
        heading="result",
        colours={
            ContractResult.WORKS: "green",
            ContractResult.LIMITED: "yellow",
            ContractResult.MISSING: "red",
        },
    ),
    Column(heading="finding", wraps=True),
)
MESSAGE_WIDTH: Final = 79  # characters


def run_conformance_test(
    session: CommandSession, account: str, options: ConformanceOptions, *, as_json: bool
) -> ExitCode:
    """Test the account's server. Returns FAILED if something is missing. Raises ConfigError."""
    settings, redact = session.settings, session.redact
    tester = prepare_conformance_test(load_accounts_file(settings.accounts_file), account, options, settings, redact)
    stream = sys.stderr if as_json else sys.stdout
    stream.write(textwrap.fill(sanitize_line(tester.describe()), MESSAGE_WIDTH) + "\n")
    stream.flush()
    report = asyncio.run(tester.run())
    if as_json:
        print_json(report_to_json(report))
    else:
        _print_report(report)
    return ExitCode.DONE if report.is_conforming else ExitCode.FAILED


def _print_report(report: ConformanceReport) -> None:
    rows = [(check.name, check.result.value, _format_finding(check)) for check in report.checks]
    print_table(CONFORMANCE_COLUMNS, rows)
    lines = [report.recovery_text, report.promise_text]
    lines += [f"Left at the server: {leftover}." for leftover in report.leftovers]
    sys.stdout.write("\n".join(map(sanitize_line, lines)) + "\n")


def _format_finding(check: ContractCheck) -> str:
    return f"{check.message.rstrip('.')}. {check.fix}" if check.fix else check.message
