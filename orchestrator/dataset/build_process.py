"""Builds the dataset in a child process, so that the service does not keep the memory of chats and tokenizers."""

# Theory of operation
#
# Why a process: reading the chats, counting tokens and checking them needs some 70 MB (tokenizers, tables, the
# largest file). Python does not return that memory to the system, and one hostile file could take all of it. A child
# process returns everything when it ends, has a memory limit of its own, and leaves the event loop's CPU alone.
#
# Protocol: the parent writes one pickled `BuildRequest` to the child's stdin. The child writes one pickled
# `BuildResult`, or the exception to raise, to its stdout and exits with 0. Any other exit code means that the result
# is lost, and `result` turns it into a DatasetError. Pickle is safe here: both ends are this program, and no file of
# the user is ever unpickled. Errors are values because a traceback on stderr would reach the operator.
#
# The child must not outlive its parent, because it would go on writing into a folder that the next build uses:
#   * Linux kills it together with the thread that started it (`die_with_parent`).
#   * Elsewhere a thread of the child blocks on stdin and exits when it closes. Therefore the parent keeps stdin
#     open after the request, although nothing else is ever sent.
#   * A stop of the service kills it through `ChildProcesses`, because a thread that waits in `result` cannot be
#     cancelled otherwise.
# The child installs no signal handler, so that SIGTERM ends it at once even within a long call of native code. It
# cannot clean up then. Whoever starts the next build deletes the working folders whose lock is free
# (`working_folder`), and `close` does the same for the build it has just killed.
#
# Order in `close`: the kill comes first, because `Popen.__exit__` waits for the process; the folders come last,
# because only an ended process has released its lock.
#
# This module must stay cheap to import in the parent: it may not import the builder, the formats or the tokenizers.
# The child imports them in `_build`. tests/unit/cli/test_run_imports.py checks it.

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self

from orchestrator.core.errors import DatasetError, OrchestratorError
from orchestrator.core.structs import Struct
from orchestrator.dataset.rules import DatasetRules
from orchestrator.dataset.summary import BuildResult
from orchestrator.dataset.working_folder import delete_abandoned_folders
from orchestrator.system.child_environment import build_child_environment
from orchestrator.system.child_processes import ChildProcesses
from orchestrator.system.hardening import die_with_parent, forbid_core_dumps
from orchestrator.system.memory import default_memory_limit, limit_memory

BUILD_PROCESS_COMMAND = (sys.executable, "-P", "-m", __name__)
MEMORY_HINT = (
    "Split the largest file of the dataset, write one chat per line, or raise ORCHESTRATOR_DATASET_MEMORY_MB "
    "if the machine has more memory."
)


class BuildRequest(Struct, frozen=True):
    """The arguments of `build_dataset` and the memory limit, as the parent sends them to the child."""

    path: Path  # file or folder with the chats
    output_folder: Path  # where the canonical JSONL files are written
    rules: DatasetRules
    memory_bytes: int  # limit of the child's data segment (RLIMIT_DATA)


class BuildProcess:
    """One dataset build in a child process. As a context manager it starts the build, and kills it at the end.

    The caller can work while the build runs, and then wait for it with `result`.
    """

    def __init__(
        self,
        path: Path,
        output_folder: Path,
        rules: DatasetRules,
        *,
        memory_bytes: int | None = None,
        children: ChildProcesses | None = None,
    ) -> None:
        """Prepare the build. `memory_bytes` is by default three quarters of the memory of the machine or container.

        `children` kills the process from another thread when the program stops.
        """
        self._request = BuildRequest(path, output_folder, rules, memory_bytes or default_memory_limit())
        self._children = children or ChildProcesses()
        self._process: subprocess.Popen[bytes] | None = None
        self._cleanup = ExitStack()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Start the process and send it the request. Raises OSError when the system cannot start it."""
        with ExitStack() as cleanup:  # runs in reverse order, also when a step below fails
            cleanup.callback(delete_abandoned_folders, self._request.output_folder)
            self._process = cleanup.enter_context(_start_python())
            cleanup.callback(self.kill)
            cleanup.enter_context(self._children.register(self.kill))
            assert self._process.stdin is not None
            with suppress(BrokenPipeError):  # the process has died already; `result` reports it
                self._process.stdin.write(pickle.dumps(self._request))
            self._cleanup = cleanup.pop_all()

    def result(self) -> BuildResult:
        """Wait for the process and return its result. Call it once, from any thread.

        Raises DatasetError with all findings, or when the process was killed; and OSError when the output folder
        cannot be written.
        """
        assert self._process is not None, "start the build first"
        assert self._process.stdout is not None
        answer = self._process.stdout.read()
        if code := self._process.wait():
            raise _process_failed_error(self._request, code)
        outcome: BuildResult | Exception = pickle.loads(answer)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def kill(self) -> None:
        """Kill the process if it still runs. May be called from any thread; a waiting `result` then fails."""
        if self._process is not None:
            self._process.kill()

    def close(self) -> None:
        """Kill the process if it still runs, wait for its end and delete its unfinished files."""
        self._cleanup.close()


def _start_python() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        BUILD_PROCESS_COMMAND,
        bufsize=0,  # the request must be in the pipe when `write` returns: nothing flushes it later
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=build_child_environment(os.environ),
        process_group=0,  # Ctrl-C reaches only the parent, which then stops the child in order
    )


def _process_failed_error(request: BuildRequest, code: int) -> DatasetError:
    how = f"was killed by signal {-code}" if code < 0 else f"failed with exit code {code}"
    return DatasetError(
        f"{request.path} could not be checked: the dataset build process {how}",
        hint="Check for earlier output on stderr and for out-of-memory events of the system. "
        f"If memory ran out (the limit was {_format_memory_limit(request)}): {MEMORY_HINT}",
    )


def _memory_limit_error(request: BuildRequest) -> DatasetError:
    return DatasetError(
        f"{request.path} could not be checked: the build exceeds its memory limit of {_format_memory_limit(request)}",
        hint=MEMORY_HINT,
    )


def _format_memory_limit(request: BuildRequest) -> str:
    return f"{request.memory_bytes >> 20:,} MB"


def main() -> None:
    """Run the child process: read a request from stdin, build, and write the result to stdout."""
    die_with_parent()  # first: until then a killed parent is noticed only by the thread below
    forbid_core_dumps()
    request: BuildRequest = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    limit_memory(request.memory_bytes)
    sys.stdout.buffer.write(pickle.dumps(_build(request)))


def _build(request: BuildRequest) -> BuildResult | Exception:
    try:
        from orchestrator.dataset.builder import build_dataset  # only in the child: it loads several megabytes

        return build_dataset(request.path, request.output_folder, request.rules)
    except (OrchestratorError, OSError) as error:
        return error
    except MemoryError:
        return _memory_limit_error(request)


def _exit_with_parent() -> None:
    os.read(0, 1)  # blocks until the parent closes stdin: nothing follows the request
    os._exit(1)  # not sys.exit, which would end only this thread


if __name__ == "__main__":
    main()
