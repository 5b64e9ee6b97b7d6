"""The command line: a door. Parse, call, print.

Nothing heavy is imported before a command runs: `orchestrator --help` answers at once. Results go to stdout, logs
and errors to stderr. Exit codes: 0 done, 1 the work failed, 2 configuration or usage, 130 interrupted.
"""

from __future__ import annotations

import gc
import sys

from orchestrator.cli.early_signals import handle_early_signals
from orchestrator.cli.streams import check_output, prepare_streams
from orchestrator.system.hardening import forbid_core_dumps
from orchestrator.system.memory import set_mmap_threshold

GC_THRESHOLD_OBJECTS = (
    20_000  # thousands of rows are made at a time and none of them in a circle: looking costs a tenth
)


def main() -> None:
    """The console script."""
    if sys.argv[1:2] == ["serve"]:
        handle_early_signals()
    forbid_core_dumps()
    prepare_streams()
    gc.set_threshold(GC_THRESHOLD_OBJECTS)
    set_mmap_threshold()
    try:
        from orchestrator.cli.commands import select_command

        with check_output():
            select_command(sys.argv[1:])(prog_name="orchestrator")
    except KeyboardInterrupt:  # while the program was still being loaded
        sys.exit(130)
