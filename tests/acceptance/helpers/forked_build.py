"""Forks the process of a dataset build, in commands that the fork server has forked.

Such a command has loaded every module and the tokenizer; a new interpreter needs 0.6 s of CPU for that. What runs in
the fork is the same `main()`, with the same pipes, process group and signals as in a new interpreter. Commands that
are started afresh start the real one, as does tests/integration/test_dataset_build_process.py.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from contextlib import suppress
from io import BufferedReader, BufferedWriter, FileIO, TextIOWrapper
from typing import NoReturn, Self

from orchestrator.dataset import build_process
from orchestrator.dataset.tokens.encodings import get_token_counter

HANDLED_SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)


class ForkedBuild:
    """A running build; the part of `subprocess.Popen` that `BuildProcess` uses."""

    def __init__(self) -> None:
        requests, stdin = os.pipe()
        stdout, answers = os.pipe()
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED_SIGNALS)  # the handlers are the parent's until set
        if (pid := os.fork()) == 0:
            _build(requests, answers)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        os.close(requests)
        os.close(answers)
        self.stdin = FileIO(stdin, "wb")
        self.stdout = FileIO(stdout)
        self._pid = pid
        self._code: int | None = None
        self._waiting = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stdin.close()
        self.stdout.close()
        self.wait()

    def wait(self) -> int:
        """The exit code, negative for the signal that killed it."""
        with self._waiting:
            if self._code is None:
                self._code = os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])
            return self._code

    def kill(self) -> None:
        if self._code is None:
            with suppress(ProcessLookupError):  # it has just ended
                os.kill(self._pid, signal.SIGKILL)


def fork_builds() -> None:
    """Have this process and its forks fork their builds, with the encoding of the sandbox's models loaded.

    Under a moved clock they start a new interpreter, as operators' do: libfaketime takes a lock whenever a thread
    waits for the interpreter, and a fork of a process whose lock is taken at that moment waits for it for ever.
    """
    if "LD_PRELOAD" in os.environ:
        return
    get_token_counter("o200k_base")  # only loaded: counting starts a thread, which a fork would lack
    build_process._start_python = ForkedBuild  # type: ignore[assignment]


def _build(requests: int, answers: int) -> NoReturn:
    """Be the build's process until its end."""
    code = 1
    try:
        os.setpgid(0, 0)
        os.dup2(requests, 0)
        os.dup2(answers, 1)
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        signal.set_wakeup_fd(-1)
        for number in HANDLED_SIGNALS:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        before = sys.stdout  # kept, because its end would write what the parent has not yet written
        sys.stdin, sys.stdout = (
            TextIOWrapper(BufferedReader(FileIO(0))),
            TextIOWrapper(BufferedWriter(FileIO(1, "w"))),
        )
        build_process.main()
        sys.stdout.flush()
        code = 0
        del before
    finally:
        if code:
            traceback.print_exc()
        os._exit(code)
