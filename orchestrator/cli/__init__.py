"""The command line: parses arguments, calls the app and prints results.

`commands` declares the commands with Typer and is imported at every start. `handlers` has their bodies, each of which
is imported only when its command runs, so that `orchestrator --help` answers at once. Results go to stdout, logs and
errors to stderr. Exit codes are in `exit_code`.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
import threading
from typing import Any

from orchestrator.cli.early_signals import handle_early_signals
from orchestrator.cli.exit_code import ExitCode
from orchestrator.cli.streams import check_output, prepare_streams
from orchestrator.system.hardening import forbid_core_dumps

# Commands create thousands of rows at a time, none of them in a reference cycle. Python's default threshold (700 to
# 2,000 objects) makes the garbage collector search them again and again, which costs a tenth of the CPU time.
GC_THRESHOLD_OBJECTS = 20_000
# The modules of a command are up to 100,000 objects and no garbage. Searching them takes a tenth of a short command.
FIRST_GC_THRESHOLD_OBJECTS = 150_000


def run_program() -> None:
    """Run `main` and end the process: the console script `orchestrator`.

    Python would free each object first, among them 200,000 tokens and the classes of all modules. That takes a
    quarter of the time of a short command; the system frees the memory at once.
    """
    try:
        main()
    except SystemExit as end:
        if threading.active_count() > 1 or not isinstance(end.code, int):
            raise  # Python waits for the other threads, or prints the message
        atexit._run_exitfuncs()  # temporary files, the log
        sys.stderr.flush()  # `main` has flushed stdout
        os._exit(end.code)


def main() -> None:
    """Run the program in this process. Raises SystemExit."""
    if sys.argv[1:2] == ["serve"]:
        handle_early_signals()  # before the slow imports: a container may be stopped while they run
    forbid_core_dumps()
    prepare_streams()
    set_gc_thresholds()
    try:
        from orchestrator.cli.commands import app

        with check_output():
            app(prog_name="orchestrator")
    except KeyboardInterrupt:  # while modules were still being imported
        sys.exit(ExitCode.INTERRUPTED)


def set_gc_thresholds() -> None:
    """Let the garbage collector search the first objects late, and all later ones in the usual steps."""
    gc.set_threshold(FIRST_GC_THRESHOLD_OBJECTS)
    gc.callbacks.append(_handle_first_collection)


def _handle_first_collection(_phase: str, _info: dict[str, Any]) -> None:
    gc.callbacks.remove(_handle_first_collection)
    gc.set_threshold(GC_THRESHOLD_OBJECTS)
