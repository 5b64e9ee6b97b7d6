"""Apart: the dataset is built in a process of its own, so that no service keeps the memory of chats and tokenizers.

What is to be done goes in by stdin and what came of it out by stdout, both pickled. The process ends with the one
that started it.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from orchestrator.core.errors import DatasetError, OrchestratorError
from orchestrator.dataset.rules import Rules
from orchestrator.dataset.summary import Built

COMMAND = (sys.executable, "-P", "-m", __name__)


def build_apart(path: Path, into: Path, rules: Rules) -> Built:
    """As `build`. Raises DatasetError also when the process was killed."""
    with building(path, into, rules) as built:
        return built()


@contextmanager
def building(path: Path, into: Path, rules: Rules) -> Iterator[Callable[[], Built]]:
    """The same, while something else is done; what is given waits for it. Whoever leaves without it ends it."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(
        COMMAND,
        bufsize=0,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        process_group=0,  # Ctrl-C is for the parent to deal with
    ) as process:
        assert process.stdin is not None
        with suppress(BrokenPipeError):
            process.stdin.write(pickle.dumps((path, into, rules)))
        yield partial(_outcome, process, path)


def _outcome(process: subprocess.Popen[bytes], path: Path) -> Built:
    assert process.stdout is not None
    answer = process.stdout.read()
    if code := process.wait():
        raise _cut_off(path, code)
    outcome: Built | Exception = pickle.loads(answer)
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def _cut_off(path: Path, code: int) -> DatasetError:
    how = f"was killed by signal {-code}" if code < 0 else f"failed with exit code {code}"
    return DatasetError(
        f"{path} could not be checked: the process that did it {how}",
        hint="See whether the system ran out of memory, and what stands before this on stderr.",
    )


def main() -> None:
    """The other process."""
    from orchestrator.dataset.building import build  # only here: what checks and counts takes megabytes

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what is half built is cleared away
    path, into, rules = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    outcome: Built | Exception
    try:
        outcome = build(path, into, rules)
    except (OrchestratorError, OSError) as error:
        outcome = error
    sys.stdout.buffer.write(pickle.dumps(outcome))


def _end_with_parent() -> None:
    os.read(0, 1)  # nothing more is ever written: it returns when the parent is gone
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
