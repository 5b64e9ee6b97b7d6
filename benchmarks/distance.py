"""A relay between replicas and PostgreSQL: it adds the time of a network and watches the write lock.

    python benchmarks/distance.py --server /tmp/pg-1/.s.PGSQL.5432 --milliseconds 0.5

Prints its port, and when it is terminated one line of JSON. It stands next to the server, so it sees when a
transaction gets the lock, how many answers it waits for until its commit, and how long the server waits for the next
statement.

A write transaction begins with BEGIN and the statement that waits for the lock; reads have no transaction.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import selectors
import signal
import time
from typing import Any

from hosts import listen_in

READY = b"Z\x00\x00\x00\x05"
"""How the server ends an answer; the next byte tells whether a transaction is open."""
BEFORE_THE_LOCK = 2
"""Answers until a transaction has the lock: to BEGIN, and to the statement that waits for it."""


class Counts:
    """What was seen of all connections."""

    def __init__(self) -> None:
        self.transactions = 0
        self.statements = 0
        self.reads = 0
        self.held_seconds = 0.0
        self.idle_seconds = 0.0

    def as_dict(self) -> dict[str, float]:
        """The counts by name."""
        return dict(vars(self))


class Watch:
    """Follows the transactions of one connection."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        self._answers = 0
        self._locked_at = 0.0
        self._answered_at = 0.0
        self._tail = b""

    def see_request(self) -> None:
        """The server gets the next statement."""
        if self._answered_at:
            self._counts.idle_seconds += time.perf_counter() - self._answered_at
            self._answered_at = 0.0

    def see_answer(self, data: bytes) -> None:
        """The server has sent this; an answer is at its end if it is complete."""
        end, self._tail = (self._tail + data[-6:])[-6:], data[-5:]
        if end[:5] != READY:
            return
        now = time.perf_counter()
        if end[5:] != b"I":
            self._answers += 1
            if self._answers == BEFORE_THE_LOCK:
                self._locked_at = now
            if self._answers >= BEFORE_THE_LOCK:
                self._answered_at = now
            return
        if self._answers >= BEFORE_THE_LOCK:
            self._counts.transactions += 1
            self._counts.statements += self._answers - BEFORE_THE_LOCK
            self._counts.held_seconds += now - self._locked_at
        else:
            self._counts.reads += 1
        self._answers = 0


class Side(asyncio.Protocol):
    """One end of a relayed connection: what it receives is written to the other end after the delay."""

    def __init__(self, delay: float, watch: Watch, *, is_server: bool) -> None:
        self._delay = delay
        self._watch = watch
        self._is_server = is_server
        self._early: list[bytes] = []
        self.transport: Any = None
        self.other: Side | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def join(self, other: Side) -> None:
        """Relay to this one from now on."""
        self.other = other
        for data in self._early:
            self._later(other.receive, data)
        self._early.clear()

    def data_received(self, data: bytes) -> None:
        if self._is_server:
            self._watch.see_answer(data)
        if self.other is None:
            self._early.append(data)
        else:
            self._later(self.other.receive, data)

    def receive(self, data: bytes) -> None:
        """Write what the other end has sent."""
        if self._is_server:
            self._watch.see_request()
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)

    def connection_lost(self, error: Exception | None) -> None:
        if self.other is not None and self.other.transport is not None:
            self._later(self.other.transport.close)

    def _later(self, call: Any, *arguments: Any) -> None:
        if self._delay:
            asyncio.get_running_loop().call_later(self._delay, call, *arguments)
        else:
            call(*arguments)


async def relay(server: str, delay: float, namespaces: list[str]) -> None:
    """Relay until terminated."""
    loop, counts, tasks = asyncio.get_running_loop(), Counts(), set[asyncio.Task[None]]()
    port, listeners = listen_in(namespaces)

    async def connect(client: Side, watch: Watch) -> None:
        _, side = await loop.create_unix_connection(lambda: Side(delay, watch, is_server=True), server)
        side.join(client)
        client.join(side)

    def accept() -> Side:
        watch = Watch(counts)
        client = Side(delay, watch, is_server=False)
        task = loop.create_task(connect(client, watch))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        return client

    for listener in listeners:
        await loop.create_server(accept, sock=listener)
    print(port, flush=True)
    ended = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    await ended.wait()
    print(json.dumps(counts.as_dict()), flush=True)


def main() -> None:
    """Relay until terminated."""
    parser = argparse.ArgumentParser(description="Relay connections to PostgreSQL with a delay.")
    parser.add_argument("--server", required=True, help="the socket file of the server")
    parser.add_argument("--milliseconds", type=float, default=0.0, help="of one round trip")
    parser.add_argument("--namespaces", nargs="*", default=[])
    given = parser.parse_args()
    # epoll waits whole milliseconds, select waits as long as it is told.
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) as runner:
        runner.run(relay(given.server, given.milliseconds / 2000, given.namespaces))


if __name__ == "__main__":
    main()
