"""A fork server of the program: loads every module once, then forks a process for each command.

How it works: one server runs beside a test session. For every command a client connects to the server's Unix socket,
sends the two files for its output, and sends the arguments, the folder and the environment as one line of JSON. The
server forks a watcher; the watcher forks the command, answers with its process id, waits for it, and answers with its
exit code. The command is a process of its own, with its own working directory, environment, output, signals and exit
code, and calls the same function as the console script. Only the start of the interpreter and the imports are saved:
about one second of CPU for each command.

The process that builds a dataset is a fork as well (`forked_build.py`).

What this hides: a module that can only be imported after others, and the command line in the list of processes.
Commands for which this matters are started afresh (see `Site` in `processes.py`), as the tests of the README, of the
tutorial and of `--help` do.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from io import BufferedWriter, FileIO, TextIOWrapper
from pathlib import Path
from typing import Any

ADDRESS_VARIABLE = "TEST_FORK_SERVER"  # tells the workers of pytest-xdist where the session's server is
LATE_IMPORTS = ("alembic.command", "alembic.config", "rich.console", "rich.progress", "rich.table", "tiktoken")
START_SECONDS = 600.0  # the longest wait for the server to load the program and to fork


class ForkedProcess:
    """A command that the fork server started; the part of `subprocess.Popen` that the tests use."""

    def __init__(self, connection: socket.socket) -> None:
        self.returncode: int | None = None
        self._connection = connection
        self._received = b""
        self.pid = int(self._read_line(START_SECONDS) or "0")
        assert self.pid, "the fork server did not start the command"

    def poll(self) -> int | None:
        """The exit code, or None while it runs."""
        try:
            return self.wait(0.0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout: float | None = None) -> int:
        """The exit code once it has ended, negative for the signal that killed it. Raises TimeoutExpired."""
        if self.returncode is None:
            line = self._read_line(timeout)
            if line is None:
                raise subprocess.TimeoutExpired("orchestrator", timeout or 0.0)
            assert line, "the fork server ended before the command did"
            self.returncode = int(line)
            self._connection.close()
        return self.returncode

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _read_line(self, timeout: float | None) -> str | None:
        """The next line of the watcher: None when the time is over, empty when there is no watcher any more."""
        self._connection.settimeout(timeout)  # not by select(), which knows the first 1,024 files of a process only
        while b"\n" not in self._received:
            try:
                chunk = self._connection.recv(100)
            except (TimeoutError, BlockingIOError):
                return None
            if not chunk:
                return ""
            self._received += chunk
        line, _, self._received = self._received.partition(b"\n")
        return line.decode()


class ForkServer:
    """The server's process. It loads the program when the first command comes."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="fork-server-")
        self.address = str(Path(self._folder.name) / "socket")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(self.address)
            listener.listen(64)
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(listener.fileno())],
                env=dict(environ),
                stdin=subprocess.PIPE,  # its end tells the server that nobody needs it any more
                pass_fds=[listener.fileno()],
            )

    def close(self) -> None:
        """Have the server end. Commands that still run are left alone."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()
        self._folder.cleanup()


def start_forked(
    address: str, arguments: Sequence[str], folder: Path, environ: Mapping[str, str], outputs: Sequence[int]
) -> ForkedProcess:
    """Start a command with its standard output and its errors on these two open files."""
    request = {"arguments": list(arguments), "folder": str(folder), "environ": dict(environ)}
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(address)
    socket.send_fds(connection, [b"."], outputs)
    connection.sendall(json.dumps(request).encode() + b"\n")
    return ForkedProcess(connection)


def write_forked_program(folder: Path) -> Path:
    """Write a program `orchestrator` for the PATH of a shell, which has the fork server run its command."""
    path = folder / "orchestrator"
    lines = ["import sys", f"sys.path.insert(0, {str(Path(__file__).parent)!r})", "from fork_server import forward"]
    path.write_text("\n".join([f"#!{sys.executable} -ES", *lines, "sys.exit(forward())"]) + "\n")
    path.chmod(0o755)
    return path


def forward() -> int:
    """Run this process's command in the fork server, and return the exit code that a shell would see."""
    process = start_forked(os.environ[ADDRESS_VARIABLE], sys.argv[1:], Path.cwd(), os.environ, (1, 2))
    code = process.wait()
    return code if code >= 0 else 128 - code


def _serve(listener: socket.socket) -> None:
    """Fork a watcher for each connection until standard input ends. Returns in the command's process alone."""
    loaded = False
    while True:
        ready, _, _ = select.select([listener, sys.stdin], [], [])
        _reap()
        if listener not in ready:
            sys.exit(0)
        connection, _ = listener.accept()
        loaded = loaded or _load_program()
        if os.fork() == 0:
            listener.close()
            if _watch(connection):
                return
            os._exit(0)
        connection.close()


def _reap() -> None:
    """Wait for the watchers that have ended, so that none stays a zombie and their CPU time is counted."""
    try:
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            continue
    except ChildProcessError:
        return


def _load_program() -> bool:
    """Import the whole program and what its functions import late."""
    import orchestrator

    modules = pkgutil.walk_packages(orchestrator.__path__, "orchestrator.")
    for name in (*(module.name for module in modules if module.name != "orchestrator.__main__"), *LATE_IMPORTS):
        importlib.import_module(name)
    importlib.import_module("forked_build").fork_builds()
    gc.freeze()  # otherwise each command would search all of it for garbage, and copy every page of it by that
    return True


def _watch(connection: socket.socket) -> bool:
    """Fork the command and wait for it. True in the command's process."""
    _, outputs, _, _ = socket.recv_fds(connection, 1, 2)
    with connection.makefile() as lines:
        request = json.loads(lines.readline())
    pid = os.fork()
    if pid == 0:
        connection.close()
        _take_place(request, outputs)
        return True
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for output in (*outputs, 1, 2):
        os.dup2(nowhere, output)  # who reads the output of the test session must not wait for a command it left
    connection.sendall(f"{pid}\n".encode())
    _, status = os.waitpid(pid, 0)
    try:
        connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
    except BrokenPipeError:
        return False  # the test session has ended before
    return False


def _take_place(request: dict[str, Any], outputs: Sequence[int]) -> None:
    """Give this process the input, outputs, folder, environment and arguments that it was asked for."""
    nowhere = os.open(os.devnull, os.O_RDONLY)
    for number, file in enumerate((nowhere, *outputs)):
        os.dup2(file, number)
        os.close(file)
    sys.stdout = _open_stream(1, sys.stdout.errors)  # the server's may be of another kind of file
    sys.stderr = _open_stream(2, "backslashreplace", line_buffering=True)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environ"])
    sys.argv[1:] = request["arguments"]
    _customize_site()


def _open_stream(number: int, errors: str | None, *, line_buffering: bool = False) -> TextIOWrapper:
    """Open an output as the start of an interpreter does."""
    file = BufferedWriter(FileIO(number, "w", closefd=False))
    return TextIOWrapper(file, sys.stdout.encoding, errors, line_buffering=line_buffering)


def _customize_site() -> None:
    """Run the `sitecustomize.py` that PYTHONPATH names, as the start of an interpreter does."""
    for folder in filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)):
        if (path := Path(folder, "sitecustomize.py")).exists():
            runpy.run_path(str(path))
            return


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])))
    from orchestrator.cli import run_program

    run_program()
