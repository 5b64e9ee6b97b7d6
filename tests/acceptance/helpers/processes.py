"""The program and its sandbox as processes, started the way an operator starts them."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import httpx2
from fork_server import ADDRESS_VARIABLE, ForkedProcess, start_forked, write_forked_program
from machine_speed import scale_seconds

T = TypeVar("T")
StartedProgram = subprocess.Popen[bytes] | ForkedProcess
PROGRAM = (sys.executable, "-m", "orchestrator")
CHATS = Path(__file__).resolve().parents[3] / "chats"
MODEL = "sandbox-small"
QUICK_POLLING = {
    "ORCHESTRATOR_POLL_MIN_SECONDS": "0.1",
    "ORCHESTRATOR_POLL_MAX_SECONDS": "0.3",
    "ORCHESTRATOR_INTENT_SECONDS": f"{scale_seconds(5):g}",
}
LONG_INTENTS = {"ORCHESTRATOR_INTENT_SECONDS": f"{scale_seconds(120):g}"}  # for calls that the sandbox stalls
START_ONLY_VARIABLES = (
    "LD_",
    "MALLOC_",
    "GLIBC_",
    "PYTHON",
    "LANG",
    "LC_",
    "TZ",
)  # by the loader, the C library, Python
MAX_COMMAND_SECONDS = 120.0  # seconds any one command may take; these and all seconds below are scaled
CHANGING_OPERATIONS = re.compile(r"^(?!moderations|chat).*\.(create|cancel|delete|pause|resume|part|complete)$")


HTTP = httpx2.Client(
    timeout=scale_seconds(60),
    verify=False,  # it is plain HTTP; to read the certificates of all authorities takes 20 ms of CPU each time
    limits=httpx2.Limits(max_keepalive_connections=0),  # services come and go behind an address
)


def eventually(condition: Callable[[], T | None], what: str, seconds: float = 60.0) -> T:
    """The first true answer; asked again and again."""
    longest = scale_seconds(seconds)
    end = time.perf_counter() + longest
    while not (answer := condition()):
        assert time.perf_counter() < end, f"not within {longest:g} s: {what}"
        time.sleep(0.1)
    return answer


@dataclass(frozen=True, slots=True)
class Result:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed, as JSON."""
        return json.loads(self.out)

    @property
    def log(self) -> list[dict[str, Any]]:
        """Its log lines."""
        return [json.loads(line) for line in self.err.splitlines() if line.startswith("{")]


class RunningProgram:
    """A process under way. Its output goes to files, so that it never waits for a reader.

    It is forked from the session's fork server; a `fresh` one is started as a shell does it.
    """

    def __init__(
        self, arguments: Sequence[str], folder: Path, environ: Mapping[str, str], *, fresh: bool = False
    ) -> None:
        self._command = " ".join(arguments)
        number = len(list(folder.glob("output-*"))) // 2
        self._out, self._err = folder / f"output-{number}.out", folder / f"output-{number}.err"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self._process = start_program(arguments, folder, environ, (out.fileno(), err.fileno()), fresh=fresh)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    def result(self, seconds: float = MAX_COMMAND_SECONDS) -> Result:
        """Wait for its end."""
        try:
            code = self._process.wait(scale_seconds(seconds))
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(describe_endless(self._command, scale_seconds(seconds), self.output())) from None
        return Result(code, self._out.read_text(), self._err.read_text())

    def wait_for_output(self, pattern: str, seconds: float = 60.0) -> str:
        """Wait until it has said something; the pattern's first group."""

        def look() -> re.Match[str] | None:
            found = re.search(pattern, self.output())
            assert found or not self.ended, f"{self._command}: ended without {pattern!r}\n{self.output()[-5000:]}"
            return found

        return eventually(look, f"{self._command}: {pattern}", seconds)[1]

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def stop(self, seconds: float = MAX_COMMAND_SECONDS) -> Result:
        """SIGTERM, and wait for its end."""
        self.send(signal.SIGTERM)
        return self.result(seconds)

    def kill(self) -> None:
        """SIGKILL, if it is still there."""
        if not self.ended:
            self._process.kill()
        self._process.wait()

    def output(self) -> str:
        """All its output until now."""
        return self._out.read_text() + self._err.read_text()

    def log(self) -> list[dict[str, Any]]:
        """Its log lines until now; the last one may not be whole yet."""
        whole = self._err.read_text().rpartition("\n")[0]
        return [json.loads(line) for line in whole.splitlines() if line.startswith("{")]


class SandboxProcess:
    """A sandbox in a process of its own, and what an outsider sees of it."""

    def __init__(self, folder: Path, *, seconds: float = 1.0) -> None:
        self._running = RunningProgram(["sandbox", "--port", "0", "--seconds", f"{seconds}"], folder, clean_environ())
        self.url = self._running.wait_for_output(r"sandbox: (http://\S+/v1)\n")
        self._control_url = self.url.removesuffix("/v1") + "/sandbox"

    def stop(self) -> None:
        self._running.kill()

    def clear(self) -> None:
        """Forget everything, the faults too."""
        self.set_faults()
        self.set_answers()
        self.set_webhook_url(None)
        HTTP.delete(f"{self._control_url}/state").raise_for_status()

    def set_faults(self, *rules: dict[str, Any]) -> None:
        """Put these faults in force and no others."""
        answer = HTTP.put(f"{self._control_url}/faults", json={"faults": rules})
        assert answer.status_code == 200, answer.text

    def set_answers(self, *behaviours: dict[str, Any]) -> None:
        """Let the models of these accounts answer like that, and all others alike."""
        answer = HTTP.put(f"{self._control_url}/answers", json={"answers": behaviours})
        assert answer.status_code == 200, answer.text

    def set_webhook_url(self, url: str | None) -> None:
        """Send webhooks there, or nowhere."""
        HTTP.put(f"{self._control_url}/webhooks", json={"url": url}).raise_for_status()

    def count_requests(self, account: str) -> dict[str, dict[str, int]]:
        """What the account asked for, and was sent: outcomes by operation."""
        counted: dict[str, dict[str, int]] = self.state()["requests_by_account"].get(account, {})
        return counted

    def count_fired_faults(self) -> list[int]:
        """How often each fault has struck."""
        fired: list[int] = HTTP.get(f"{self._control_url}/faults").json()["fired"]
        return fired

    def state(self) -> Any:
        return HTTP.get(f"{self._control_url}/state").json()

    def files(self, account: str) -> list[dict[str, Any]]:
        return self._list_objects(account, "files")

    def jobs(self, account: str) -> list[dict[str, Any]]:
        return self._list_objects(account, "jobs")

    def count_files_and_jobs(self) -> dict[str, tuple[int, int]]:
        """How many files and jobs each account has."""
        accounts = self.state()["accounts"]
        return {name: (len(account["files"]), len(account["jobs"])) for name, account in accounts.items()}

    def count_changing_requests(self) -> dict[str, int]:
        """How many requests there were that change something, by operation."""
        requests = self.state()["requests"]
        return {
            name: sum(outcomes.values()) for name, outcomes in requests.items() if CHANGING_OPERATIONS.search(name)
        }

    def _list_objects(self, account: str, what: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.state()["accounts"].get(account, {}).get(what, [])
        return found


class Site:
    """A folder with an accounts file, keys, chats and, later, a database: one deployment."""

    def __init__(self, folder: Path, base_url: str) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.chats = folder / "chats"
        self.environ = clean_environ() | QUICK_POLLING
        self._base_url = base_url
        self.fresh = False  # start every command as a shell does it, not from the fork server
        self._running: list[RunningProgram] = []
        (folder / "keys").mkdir()
        self.chats.mkdir()
        for chat in sorted(CHATS.glob("*.json"))[:12]:
            shutil.copy(chat, self.chats)

    def write_key(self, account: str, value: str) -> None:
        """Put a key where the account's reference points."""
        (self.folder / "keys" / account).write_text(value)

    def write_chat(self, name: str, question: str, answer: str) -> None:
        """Add a chat."""
        messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        (self.chats / f"{name}.json").write_text(json.dumps(messages))

    def write_accounts(
        self,
        *names: str,
        run: str = "",
        options: Mapping[str, str] | None = None,
        keys: Mapping[str, str] | None = None,
        runs: Mapping[str, str] | None = None,
    ) -> None:
        """Write the accounts file. `run`, and `options` by account, are lines of it; `keys` are other references.

        `runs` are the lines of several runs, by name.
        """
        lines = []
        for name, more in (runs or {"acceptance": run}).items():
            table = "runs" if runs else "run"
            lines += ["[[runs]]" if runs else "[run]", f'name = "{name}"', 'moderation_waived = "a test"', more]
            lines += [f"[{table}.openai]", f'base_model = "{MODEL}"', "n_epochs = 3"]
        for name in names:
            if not (self.folder / "keys" / name).exists():
                self.write_key(name, f"sandbox-{name}")
            reference = (keys or {}).get(name, f"file:keys/{name}")
            lines += ["[[accounts]]", f'name = "{name}"', 'provider = "openai"', f'api_key = "{reference}"']
            lines += [f'base_url = "{self._base_url}"', (options or {}).get(name, "")]
        new = self.folder / "accounts.new"
        new.write_text("\n".join(lines) + "\n")
        new.replace(self.folder / "accounts.toml")

    def start(self, *arguments: str, **environ: str) -> RunningProgram:
        """A command in the background; it is killed when the test ends."""
        running = RunningProgram(arguments, self.folder, self.environ | environ, fresh=self.fresh)
        self._running.append(running)
        return running

    def run(self, *arguments: str, **environ: str) -> Result:
        """A command, to its end."""
        return self.start(*arguments, **environ).result()

    def status(self) -> Any:
        """What `status --json` says."""
        return self.run("status", "--json").json

    def jobs(self) -> dict[str, Any]:
        """The jobs of `status --json`, by account."""
        return {job["account"]: job for job in self.status()["jobs"]}

    def close(self) -> None:
        for running in self._running:
            running.kill()


def start_program(
    arguments: Sequence[str], folder: Path, environ: Mapping[str, str], outputs: tuple[int, int], *, fresh: bool
) -> StartedProgram:
    """Start the program with its outputs on these files: forked where there is a fork server, unless `fresh`."""
    if (address := os.environ.get(ADDRESS_VARIABLE)) and not fresh and not needs_fresh_process(environ):
        return start_forked(address, arguments, folder, environ, outputs)
    out, err = outputs
    return subprocess.Popen(
        [*PROGRAM, *arguments], cwd=folder, env=dict(environ), stdin=subprocess.DEVNULL, stdout=out, stderr=err
    )


def run_program(arguments: Sequence[str], folder: Path, environ: Mapping[str, str]) -> Result:
    """Run a command to its end; its output leaves no file in the folder."""
    with TemporaryDirectory(prefix="output-") as outputs:
        names = [Path(outputs, name) for name in ("out", "err")]
        with names[0].open("wb") as out, names[1].open("wb") as err:
            process = start_program(arguments, folder, environ, (out.fileno(), err.fileno()), fresh=False)
        limit = scale_seconds(MAX_COMMAND_SECONDS)
        try:
            code = process.wait(limit)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            output = "".join(name.read_text() for name in names)
            raise AssertionError(describe_endless(" ".join(arguments), limit, output)) from None
        finally:
            process.kill()
        return Result(code, *(name.read_text() for name in names))


def describe_endless(command: str, seconds: float, output: str) -> str:
    """What a test says of a command that did not end: the end of its output tells where it was."""
    return f"{command}: did not end within {seconds:g} s\n{output[-5000:]}"


def shell_path(folder: Path) -> str:
    """A PATH on which `orchestrator` is a fork of the fork server, or the installed program where there is none.

    `folder` is one that the commands of the shell do not use.
    """
    places = [str(Path(sys.executable).parent), "/usr/local/bin", "/usr/bin", "/bin"]
    if ADDRESS_VARIABLE in os.environ:
        places.insert(0, str(write_forked_program(folder).parent))
    return os.pathsep.join(places)


def needs_fresh_process(environ: Mapping[str, str]) -> bool:
    """Whether the environment differs from the fork server's in what only the start of a process reads.

    Of PYTHONPATH the fork server runs `sitecustomize.py`.
    """
    names = {name for name in {*environ, *os.environ} if name.startswith(START_ONLY_VARIABLES)} - {"PYTHONPATH"}
    ours = clean_environ()
    return any(environ.get(name) != ours.get(name) for name in names)


def clean_environ() -> dict[str, str]:
    """The environment without anybody's settings."""
    left_out = ("ORCHESTRATOR_", "OPENAI_", "PYTHONDONTWRITEBYTECODE")  # the last: every start would compile anew
    return {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
