"""Runs the program of a `cmd:` reference and returns its output."""

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
SERVICE_VARIABLE_PREFIX = "ORCHESTRATOR_"  # among them are the service's tokens and its database's password


def run_command(
    arguments: list[str],
    *,
    folder: Path,
    max_bytes: int,
    hidden_variables: Collection[str] = (),
    children: ChildProcesses | None = None,
) -> bytes:
    """Return at most `max_bytes` of the program's output. Raises ValueError if it fails or takes too long.

    There is no shell. The program gets the environment without the service's own variables and without the
    `hidden_variables`, which contain the keys of accounts. Its stderr is discarded: it may contain the key.
    `children` ends the program, and the programs that it started, when the service stops.
    """
    try:
        process = subprocess.Popen(
            arguments,
            cwd=folder,
            env=_build_environment(hidden_variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # a process group of its own, so that its children can be killed as well
        )
    except OSError as error:
        raise ValueError(f"cannot be run ({error.strerror}); install the program or add it to PATH") from None
    try:
        with (children or ChildProcesses()).register(partial(_kill, process)):
            output, status = _read_output(process, max_bytes)
    finally:
        _kill_and_reap(process)
    if status != 0 and len(output) < max_bytes:
        raise ValueError(f"ended with exit code {status}; run it in a shell to see why")
    return output


def _build_environment(hidden_variables: Collection[str]) -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if name not in hidden_variables and not name.upper().startswith(SERVICE_VARIABLE_PREFIX)
    }


def _read_output(process: subprocess.Popen[bytes], max_bytes: int) -> tuple[bytes, int]:
    output: list[bytes] = []
    reader = Thread(target=_read_stream, args=(process.stdout, max_bytes, output), daemon=True)
    reader.start()
    reader.join(COMMAND_TIMEOUT_SECONDS)  # in a thread, because reading a pipe has no time limit
    if not output:
        raise ValueError(f"printed nothing within {COMMAND_TIMEOUT_SECONDS:g} seconds; run it in a shell to see why")
    if len(output[0]) == max_bytes:
        return output[0], 0
    try:
        return output[0], process.wait(COMMAND_TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        raise ValueError(
            f"did not end within {COMMAND_TIMEOUT_SECONDS:g} seconds; run it in a shell to see why"
        ) from None


def _read_stream(stream: IO[bytes], max_bytes: int, output: list[bytes]) -> None:
    with stream:
        output.append(stream.read(max_bytes))


def _kill_and_reap(process: subprocess.Popen[bytes]) -> None:
    """Kill the program and its children, then reap it."""
    _kill(process)  # first: once it is reaped, its number may belong to another process
    process.wait()


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
