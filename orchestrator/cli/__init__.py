"""The command line: a door. Parse, call, print.

Nothing heavy is imported before a command runs: `orchestrator --help` answers at once. Results go to stdout, logs
and errors to stderr. Exit codes: 0 done, 1 the work failed, 2 configuration or usage.
"""

from __future__ import annotations


def main() -> None:
    """The console script."""
    from orchestrator.cli.commands import app

    app(prog_name="orchestrator")
