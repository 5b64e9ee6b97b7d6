"""A provider that accepts files and drops their bytes, so that an upload costs only what the sender spends.

    python benchmarks/sink.py

Prints its base URL. Answers the requests of an upload, whole or in parts. `/bytes` returns the number of bytes
received. It does not know a file's size (bodies are dropped unread), so it reports none instead of a wrong one.
"""

from __future__ import annotations

import itertools
import json
import re
import socket
import threading

BLOCK = 1 << 20
_LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
_numbers = itertools.count(1)
_taken: list[int] = []  # lengths of bodies; appending needs no lock


def serve(connection: socket.socket) -> None:
    """One keep-alive connection, until the other side has enough."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with connection:
        while head := _head(connection):
            head, _, begun = head.partition(b"\r\n\r\n")
            found = _LENGTH.search(head)
            _taken.append(_discard(connection, int(found[1]) if found else 0, len(begun)))
            method, target, _ = head.split(b" ", 2)
            payload = json.dumps(_answer(method, target.removeprefix(b"/v1/").split(b"/"))).encode()
            said = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
            connection.sendall(said % len(payload) + payload)


def _head(connection: socket.socket) -> bytes:
    """The head of the next request, with what came of its body; empty at the end."""
    seen = b""
    while b"\r\n\r\n" not in seen:
        if not (more := connection.recv(65536)):
            return b""
        seen += more
    return seen


def _discard(connection: socket.socket, length: int, begun: int) -> int:
    """Take the rest of a body off the wire. With MSG_TRUNC the system drops it without copying (tcp(7))."""
    scrap, left = bytearray(BLOCK), length - begun
    while left and (taken := connection.recv_into(scrap, min(left, BLOCK), socket.MSG_TRUNC)):
        left -= taken
    return length - left


def _answer(method: bytes, path: list[bytes]) -> object:
    match (method, path):
        case (b"GET", [b"bytes"]):
            return sum(_taken)
        case (b"POST", [b"files"]):
            return _file()
        case (b"POST", [b"uploads"]):
            return _upload(f"upload-{next(_numbers)}", "pending", None)
        case (b"POST", [b"uploads", _, b"parts"]):
            return {"id": f"part-{next(_numbers)}", "object": "upload.part", "created_at": 1, "upload_id": "upload"}
        case (b"POST", [b"uploads", upload, b"complete"]):
            return _upload(upload.decode(), "completed", _file())
        case _:
            return {"object": "list", "data": [], "has_more": False}


def _upload(name: str, status: str, file: object) -> dict[str, object]:
    fixed = {"object": "upload", "created_at": 1, "expires_at": 2, "filename": "x.jsonl"}
    return {"id": name, **fixed, "purpose": "fine-tune", "status": status, "file": file}


def _file() -> dict[str, object]:
    fixed = {"object": "file", "created_at": 1, "filename": "x.jsonl", "purpose": "fine-tune"}
    return {"id": f"file-{next(_numbers)}", **fixed, "status": "processed"}


def main() -> None:
    """Serve until killed."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=200)
    print(f"http://127.0.0.1:{listening.getsockname()[1]}/v1", flush=True)
    while True:
        threading.Thread(target=serve, args=(listening.accept()[0],), daemon=True).start()


if __name__ == "__main__":
    main()
