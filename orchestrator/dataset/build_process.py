"""Build the dataset in a process of its own, so that the service does not keep the memory of chats and tokenizers.

The order goes in by stdin and the outcome comes back by stdout, both pickled. The process has a limit of memory, so
that no file can take what the service or the machine needs, and it never outlives its parent: the system kills it
with the thread that started it, and on systems without that it sees the end of its stdin. SIGTERM ends it at once,
even within a long call of native code, because it installs no handler: what is left of it is removed by others
(`create_working_folder`).
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from orchestrator.core.errors import DatasetError, OrchestratorError
from orchestrator.dataset.rules import DatasetRules
from orchestrator.dataset.summary import BuildResult
from orchestrator.dataset.working_folder import delete_abandoned_folders
from orchestrator.system.child_processes import ChildProcesses
from orchestrator.system.hardening import die_with_parent, forbid_core_dumps
from orchestrator.system.memory import default_memory_limit, limit_memory

BUILD_PROCESS_COMMAND = (sys.executable, "-P", "-m", __name__)
MEMORY_HINT = (
    "Split the largest file of the dataset, write one chat per line, or raise ORCHESTRATOR_DATASET_MEMORY_MB "
    "if the machine has more memory."
)


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """What the process is to do. `memory` is its limit in bytes."""

    path: Path
    output_folder: Path
    rules: DatasetRules
    memory_bytes: int


def build_in_process(
    path: Path, output_folder: Path, rules: DatasetRules, *, memory_bytes: int | None = None
) -> BuildResult:
    """Build the dataset as `build` does. Raises DatasetError also when the process was killed."""
    with start_build_process(path, output_folder, rules, memory_bytes=memory_bytes) as built:
        return built()


@contextmanager
def start_build_process(
    path: Path,
    output_folder: Path,
    rules: DatasetRules,
    *,
    memory_bytes: int | None = None,
    children: ChildProcesses | None = None,
) -> Iterator[Callable[[], BuildResult]]:
    """Start the process and yield a function that waits for its outcome; leaving the block kills the process.

    `memory` is the process's limit in bytes, by default three quarters of what there is. `children` kills the process
    from another thread when the program stops.
    """
    order = BuildRequest(path, output_folder, rules, memory_bytes or default_memory_limit())
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        with subprocess.Popen(
            BUILD_PROCESS_COMMAND,
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            process_group=0,  # Ctrl-C is for the parent to deal with
        ) as process:
            assert process.stdin is not None
            try:
                with (children or ChildProcesses()).register(process.kill):
                    with suppress(BrokenPipeError):
                        process.stdin.write(pickle.dumps(order))
                    yield partial(_read_result, process, order)
            finally:
                process.kill()
    finally:
        delete_abandoned_folders(output_folder)


def _read_result(process: subprocess.Popen[bytes], order: BuildRequest) -> BuildResult:
    assert process.stdout is not None
    answer = process.stdout.read()
    if code := process.wait():
        raise _process_failed_error(order, code)
    outcome: BuildResult | Exception = pickle.loads(answer)
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def _process_failed_error(order: BuildRequest, code: int) -> DatasetError:
    how = f"was killed by signal {-code}" if code < 0 else f"failed with exit code {code}"
    return DatasetError(
        f"{order.path} could not be checked: the dataset build process {how}",
        hint="Check for earlier output on stderr and for out-of-memory events of the system. "
        f"If memory ran out (the limit was {_format_memory_limit(order)}): " + MEMORY_HINT,
    )


def _memory_limit_error(order: BuildRequest) -> DatasetError:
    return DatasetError(
        f"{order.path} could not be checked: the build exceeds its memory limit of {_format_memory_limit(order)}",
        hint=MEMORY_HINT,
    )


def _format_memory_limit(order: BuildRequest) -> str:
    return f"{order.memory_bytes >> 20:,} MB"


def main() -> None:
    """Run the other process."""
    die_with_parent()
    forbid_core_dumps()
    order: BuildRequest = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    limit_memory(order.memory_bytes)
    sys.stdout.buffer.write(pickle.dumps(_build(order)))


def _build(order: BuildRequest) -> BuildResult | Exception:
    try:
        from orchestrator.dataset.builder import build_dataset  # only here: what checks and counts takes megabytes

        return build_dataset(order.path, order.output_folder, order.rules)
    except (OrchestratorError, OSError) as error:
        return error
    except MemoryError:
        return _memory_limit_error(order)


def _exit_with_parent() -> None:
    os.read(0, 1)  # nothing more is ever written: it returns when the parent is gone
    os._exit(1)


if __name__ == "__main__":
    main()
