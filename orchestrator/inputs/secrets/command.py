"""Command: runs the program behind a `cmd:` reference and takes what it prints."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Collection
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Thread
from typing import IO

from orchestrator.system.child_processes import ChildProcesses

COMMAND_TIMEOUT_SECONDS = 10.0


SERVICE_VARIABLE_PREFIX = "ORCHESTRATOR_"  # the service's tokens and its database's password


def run_command(
    arguments: list[str],
    *,
    folder: Path,
    max_bytes: int,
    hidden_variables: Collection[str] = (),
    children: ChildProcesses | None = None,
) -> bytes:
    """At most `limit` bytes of what the program prints; ValueError when it fails or takes too long.

    There is no shell. The program gets the environment without the service's own variables and without the `hidden`
    ones, which hold the keys of accounts. What it writes to stderr is thrown away: it may hold the key. `children`
    ends the program, and the programs that it started, when the service stops.
    """
    try:
        process = subprocess.Popen(
            arguments,
            cwd=folder,
            env=_build_environment(hidden_variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as fault:
        raise ValueError(f"cannot be run ({fault.strerror}); is the program installed and on the PATH?") from None
    try:
        with (children or ChildProcesses()).register(partial(_kill, process)):
            output, status = _read_output(process, max_bytes)
    finally:
        _kill_and_reap(process)
    if status != 0 and len(output) < max_bytes:
        raise ValueError(f"ended with exit code {status}; run it by hand to see why")
    return output


def _build_environment(hidden_variables: Collection[str]) -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if name not in hidden_variables and not name.upper().startswith(SERVICE_VARIABLE_PREFIX)
    }


def _read_output(process: subprocess.Popen[bytes], max_bytes: int) -> tuple[bytes, int]:
    taken: list[bytes] = []
    reader = Thread(target=_read_stream, args=(process.stdout, max_bytes, taken), daemon=True)
    reader.start()
    reader.join(COMMAND_TIMEOUT_SECONDS)  # a thread, because a read of a pipe cannot be given a time limit
    if not taken:
        raise ValueError(f"gave no answer within {COMMAND_TIMEOUT_SECONDS:g} seconds; run it by hand to see why")
    if len(taken[0]) == max_bytes:
        return taken[0], 0
    try:
        return taken[0], process.wait(COMMAND_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        raise ValueError(
            f"did not end within {COMMAND_TIMEOUT_SECONDS:g} seconds; run it by hand to see why"
        ) from None


def _read_stream(stream: IO[bytes], max_bytes: int, output: list[bytes]) -> None:
    with stream:
        output.append(stream.read(max_bytes))


def _kill_and_reap(process: subprocess.Popen[bytes]) -> None:
    """Leave nothing of it running, its children included. Once it is reaped its number may be another's."""
    _kill(process)
    process.wait()


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
