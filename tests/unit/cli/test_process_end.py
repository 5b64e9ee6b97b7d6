"""The process ends without freeing its memory object by object, and leaves nothing out that it has to do."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """\
import atexit, sys, threading
import orchestrator.cli
sys.argv = ["orchestrator", *sys.argv[1:]]
atexit.register(lambda: print("exit function", flush=True))
{preparation}
orchestrator.cli.run_program()
"""
THREAD = """
def work():
    threading.main_thread().join()
    print("thread", flush=True)
threading.Thread(target=work).start()
"""
LEFTOVER = """
class Leftover:
    def __del__(self):
        print("freed", flush=True)
sys.leftover = Leftover()
"""


def run(preparation: str, *command: str) -> tuple[int, list[str]]:
    program = [sys.executable, "-c", PROGRAM.format(preparation=preparation), *command]
    ended = subprocess.run(program, capture_output=True, text=True, check=False)
    return ended.returncode, ended.stdout.splitlines()


@pytest.mark.parametrize(("command", "code"), [("--version", 0), ("no-such-command", 2)])
def test_exit_code_is_kept_and_exit_functions_run(command: str, code: int) -> None:
    ended, lines = run(LEFTOVER, command)
    assert ended == code
    assert lines[-1] == "exit function"


def test_thread_that_still_runs_is_awaited() -> None:
    code, lines = run(THREAD, "--version")
    assert code == 0
    assert lines[-2:] == ["thread", "exit function"]
