"""Computes the result of a comparison in a child process, so that the service goes on while it takes seconds."""

# Theory of operation
#
# A thread would not do: the computation is pure Python, and would hold the interpreter's lock against the event loop
# for seconds. The parent writes one pickled request to the child's stdin; the child writes the pickled document to
# its stdout and ends. Both ends are this program, so that pickle is safe. A stop of the service cancels the call,
# which kills the child; Linux kills it also when the parent is killed.

from __future__ import annotations

import asyncio
import os
import pickle
import sys
from typing import Any

from orchestrator.daemon.comparisons.comparison_result import ResultRequest, compute_document
from orchestrator.system.child_environment import build_child_environment
from orchestrator.system.hardening import die_with_parent, forbid_core_dumps

RESULT_PROCESS_COMMAND = (sys.executable, "-P", "-m", __name__)


class ResultProcessFailed(Exception):
    """The child process ended without a result, for example because memory ran out."""


async def compute_in_process(request: ResultRequest) -> dict[str, Any]:
    """Compute the document in a child process. Raises ResultProcessFailed if it ends without a result."""
    content = await asyncio.to_thread(pickle.dumps, request)
    process = await asyncio.create_subprocess_exec(
        *RESULT_PROCESS_COMMAND,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=build_child_environment(os.environ),
        process_group=0,  # Ctrl-C reaches only the parent, which then stops the child in order
    )
    try:
        answer, _ = await process.communicate(content)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise ResultProcessFailed(f"the process that computes the verdicts ended with code {process.returncode}")
    document: dict[str, Any] = pickle.loads(answer)
    return document


def main() -> None:
    """Run the child process: read a request from stdin, compute, and write the document to stdout."""
    die_with_parent()
    forbid_core_dumps()  # the request contains the texts of answers
    request: ResultRequest = pickle.load(sys.stdin.buffer)
    sys.stdout.buffer.write(pickle.dumps(compute_document(request)))


if __name__ == "__main__":
    main()
