"""The command line: a door. Parse, call, print.

Nothing heavy is imported before a command runs: `orchestrator --help` answers at once. Results go to stdout, logs
and errors to stderr. Exit codes: 0 done, 1 the work failed, 2 configuration or usage, 130 interrupted.
"""

from __future__ import annotations

import gc
import sys

from orchestrator.cli.allocator import keep_large_blocks_apart
from orchestrator.cli.early_signals import handle_early_signals
from orchestrator.cli.streams import output_checked, prepare_streams
from orchestrator.system.hardening import forbid_core_dumps

NEW_OBJECTS = 20_000  # thousands of rows are made at a time and none of them in a circle: looking costs a tenth


def main() -> None:
    """The console script."""
    if sys.argv[1:2] == ["serve"]:
        handle_early_signals()
    forbid_core_dumps()
    prepare_streams()
    gc.set_threshold(NEW_OBJECTS)
    keep_large_blocks_apart()
    try:
        from orchestrator.cli.commands import asked_for

        with output_checked():
            asked_for(sys.argv[1:])(prog_name="orchestrator")
    except KeyboardInterrupt:  # while the program was still being loaded
        sys.exit(130)
