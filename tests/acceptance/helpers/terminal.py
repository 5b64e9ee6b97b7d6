"""A program in a terminal, whose questions a test answers."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from machine_speed import scale_seconds


class Terminal:
    """A command in a terminal of its own; the test types the answers."""

    def __init__(self, folder: Path, command: Sequence[str], environ: Mapping[str, str]) -> None:
        self._master, slave = pty.openpty()
        self._process = subprocess.Popen(
            command,
            cwd=folder,
            env=environ,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=take_terminal,
        )
        os.close(slave)
        self.output = ""
        self._read_until = 0

    def answer(self, question: str, text: str) -> None:
        """Wait for the question, and type the answer."""
        end = time.perf_counter() + scale_seconds(60)
        while (at := self.output.find(question, self._read_until)) < 0:
            assert time.perf_counter() < end, f"no {question!r} in {self.output}"
            assert self._read(), f"ended without {question!r}: {self.output}"
        self._read_until = at + len(question)
        os.write(self._master, text.encode())

    def interrupt(self, question: str) -> int:
        """Wait for the question, press Ctrl-C until the program ends, and return its exit code.

        Once may not be enough: a signal between Python's check for signals and the read of the terminal is noticed
        only when the read ends.
        """
        self.answer(question, "\x03")
        end = time.perf_counter() + scale_seconds(60)
        while self._process.poll() is None and time.perf_counter() < end:
            if select.select([self._master], [], [], 2)[0]:
                self._read()
            elif self._process.poll() is None:
                os.write(self._master, b"\x03")
        return self.finish()

    def finish(self) -> int:
        while self._read():
            pass
        return self._process.wait(scale_seconds(60))

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        os.close(self._master)

    def _read(self) -> bool:
        if not select.select([self._master], [], [], scale_seconds(60))[0]:
            return False
        try:
            text = os.read(self._master, 65536).decode(errors="replace")
        except OSError:  # the program has ended
            return False
        self.output += text.replace("\r\n", "\n")
        return bool(text)


def take_terminal() -> None:
    """Make the terminal the controlling one, so that Ctrl-C is a signal."""
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
