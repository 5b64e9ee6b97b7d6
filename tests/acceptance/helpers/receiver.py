"""A program that asked to be told: keeps what it is sent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from standardwebhooks import Webhook


@dataclass
class RecordingWebhookServer:
    """Takes everything but what is `refused`, by path. It answers with the path, which may be a secret."""

    port: int = 0
    refused: set[str] = field(default_factory=set)
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}/{path}"

    def verified_payloads(self, secret: str, path: str) -> list[Any]:
        """What it was told there, each request checked as a receiver should."""
        return [Webhook(secret).verify(body, headers) for at, headers, body in self.requests if at == path]

    def event_types(self, path: str) -> list[str]:
        return sorted(json.loads(body)["type"] for at, _, body in self.requests if at == path)


@contextmanager
def run_receiver() -> Iterator[RecordingWebhookServer]:
    """One on a free port."""
    receiver = RecordingWebhookServer()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            receiver.requests.append((self.path, {k.lower(): v for k, v in self.headers.items()}, body))
            self.send_response(500 if self.path in receiver.refused else 200)
            self.send_header("content-length", str(len(self.path)))
            self.end_headers()
            self.wfile.write(self.path.encode())

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.port = server.server_address[1]
    serving = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    serving.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        serving.join()
        server.server_close()
