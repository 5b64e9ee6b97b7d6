"""Runs functions in forked processes: what a mutant breaks, it breaks only there."""

from __future__ import annotations

import os
import pickle
import resource
import select
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

MEMORY_BYTES = 4 << 30  # a mutant may loop and allocate


class ForkedProcessError(Exception):
    """The process ended without a result: it was killed, or its time was over."""


def call_in_fork(function: Callable[[], Any], *, cpu_seconds: float, wall_seconds: float) -> Any:
    """Return the function's result, computed in a child process without output."""
    reader, writer = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        _run_child(function, writer, cpu_seconds)
    os.close(writer)
    try:
        content = _read_all(reader, time.perf_counter() + wall_seconds)
    finally:
        os.close(reader)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    if not content:
        raise ForkedProcessError
    return pickle.loads(content)


def _run_child(function: Callable[[], Any], writer: int, cpu_seconds: float) -> None:
    code = 1
    try:
        os.setpgid(0, 0)
        null = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(null, standard)
        used = time.process_time()
        limit = int(used + cpu_seconds) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 1))
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.signal(signal.SIGXCPU, signal.SIG_DFL)
        content = memoryview(pickle.dumps(function()))
        while content:
            content = content[os.write(writer, content) :]
        code = 0
    finally:
        os._exit(code)  # without the exit handlers of the parent


def _read_all(reader: int, deadline: float) -> bytes:
    content = bytearray()
    while (left := deadline - time.perf_counter()) > 0:
        readable, _, _ = select.select([reader], [], [], left)
        if readable:
            part = os.read(reader, 1 << 16)
            if not part:
                return bytes(content)
            content += part
    return b""
