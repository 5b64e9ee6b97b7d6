"""A fake provider that costs little CPU: canned answers over HTTP/1.1, each after a fixed latency.

    python benchmarks/provider.py --latency 0.05

Prints its base URL. Files are ready and jobs have succeeded when they are first asked for. How many calls there were
is told at `/calls`. It checks nothing: that is the sandbox's work.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import re
from collections import Counter
from collections.abc import Iterator

from hosts import HERE, listen_in

_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
_KEY = re.compile(rb"authorization: Bearer (\S+)", re.IGNORECASE)
_TAG = re.compile(rb'"metadata":\s*(\{[^}]*\})')
_FILE = re.compile(rb'"training_file":\s*"([^"]+)"')


class Connection(asyncio.Protocol):
    """One keep-alive connection; requests are answered in order."""

    def __init__(
        self,
        latency: float,
        running: bool,
        numbers: Iterator[int],
        calls: Counter[str],
        jobs: dict[str, dict[str, object]],
    ) -> None:
        self._latency = latency
        self._running = running
        self._calls = calls
        self._numbers = numbers
        self._jobs = jobs
        self._buffer = bytearray()
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while True:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = bytes(self._buffer[:end])
            length = _LENGTH.search(head)
            whole = end + 4 + (int(length[1]) if length else 0)
            if b"ransfer-encoding: chunked" in head:
                last = self._buffer.find(b"0\r\n\r\n", end + 4)
                if last < 0:
                    return
                whole = last + 5
            if len(self._buffer) < whole:
                return
            body = bytes(self._buffer[end + 4 : min(whole, end + 4 + 65536)])
            del self._buffer[:whole]
            self._loop.call_later(self._latency, self._answer, self._payload(head, body))

    def _answer(self, payload: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nopenai-organization: org-bench\r\n"
                b"content-length: %d\r\n\r\n%s" % (len(payload), payload)
            )

    def _payload(self, head: bytes, body: bytes) -> bytes:
        method, target, _ = head.split(b" ", 2)
        path = target.split(b"?")[0].removeprefix(b"/v1/").decode()
        if path != "calls":
            self._calls["all"] += 1
        match (method, path.split("/")):
            case (b"POST", ["files"]):
                return self._file(f"file-{next(self._numbers)}")
            case (b"GET", ["calls"]):
                return b"%d" % self._calls["all"]
            case (b"GET", ["files", name]):
                return self._file(name)
            case (b"POST", ["fine_tuning", "jobs"]):
                return self._create(body)
            case (b"GET", ["fine_tuning", "jobs", name]) if self._running:
                return json.dumps(self._job(name, "") | {"status": "running"}).encode()
            case (b"GET", ["fine_tuning", "jobs", name]):
                done = {"status": "succeeded", "fine_tuned_model": f"ft:model:bench::{name}"}
                return json.dumps({**self._jobs[name], **done}).encode()
            case _:
                return b'{"object": "list", "data": [], "has_more": false, "first_id": "", "last_id": ""}'

    def _file(self, name: str) -> bytes:
        return json.dumps(
            {
                "id": name,
                "object": "file",
                "created_at": 1,
                "filename": "x.jsonl",
                "purpose": "fine-tune",
                "status": "processed",
            }
        ).encode()

    def _create(self, body: bytes) -> bytes:
        tag, file = _TAG.search(body), _FILE.search(body)
        name = f"ftjob-{next(self._numbers)}"
        self._jobs[name] = self._job(name, file[1].decode() if file else "") | {
            "metadata": json.loads(tag[1]) if tag else None
        }
        return json.dumps(self._jobs[name]).encode()

    def _job(self, name: str, file: str) -> dict[str, object]:
        return {
            "id": name,
            "object": "fine_tuning.job",
            "created_at": 1,
            "error": None,
            "fine_tuned_model": None,
            "finished_at": None,
            "hyperparameters": {"n_epochs": 3},
            "model": "sandbox-small",
            "organization_id": "org-bench",
            "result_files": [],
            "status": "queued",
            "trained_tokens": None,
            "training_file": file,
            "validation_file": None,
            "seed": 42,
        }


async def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description="Serve canned answers.")
    parser.add_argument("--latency", type=float, default=0.05)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--running", action="store_true", help="no job ever ends")
    parser.add_argument("--namespaces", nargs="*", default=[], help="network namespaces in which it listens as well")
    given = parser.parse_args()
    numbers, calls, jobs = itertools.count(1), Counter[str](), dict[str, dict[str, object]]()
    port, listeners = listen_in([HERE, *given.namespaces], given.port)
    for listener in listeners:
        await asyncio.get_running_loop().create_server(
            lambda: Connection(given.latency, given.running, numbers, calls, jobs), sock=listener
        )
    print(f"http://127.0.0.1:{port}/v1", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
