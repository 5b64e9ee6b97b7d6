"""Keeps track of the child processes that must end with the program.

A thread that waits for a child process cannot be cancelled, and the interpreter waits for its threads before it ends.
So whoever starts a child registers here how to kill it: a stop kills every child, each waiting thread returns at
once, and a child that is started afterwards is killed as soon as it registers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock


class ChildProcesses:
    """The running child processes of one part of the program. Thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._kill_callbacks: set[Callable[[], None]] = set()
        self._stopped = False

    @contextmanager
    def register(self, kill: Callable[[], None]) -> Iterator[None]:
        """Call `kill` if the program stops inside the `with` block, perhaps from another thread."""
        with self._lock:
            stopped = self._stopped
            self._kill_callbacks.add(kill)
        try:
            if stopped:
                kill()
            yield
        finally:
            with self._lock:
                self._kill_callbacks.discard(kill)

    def kill_all(self) -> None:
        """Kill every child that is running and every one that registers from now on."""
        with self._lock:
            self._stopped = True
            running = list(self._kill_callbacks)
        for kill in running:
            kill()
