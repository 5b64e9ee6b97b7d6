"""A fake of Google Cloud Storage: objects, conditional creates, resumable sessions. A bucket for each account."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from fake_world import FakeFile, FakeRequest, FakeWorld, FaultGate, Refused, Reply
from object_content import ObjectContent
from starlette.applications import Starlette
from starlette.routing import Route

CHUNK_UNIT = 256 * 1024
OBJECT = "/storage/v1/b/{bucket}/o/{name:path}"
UPLOAD = "/upload/storage/v1/b/{bucket}/o"


@dataclass
class Session:
    """A resumable upload."""

    name: str
    body: dict[str, Any]
    total: int
    if_absent: bool
    content: ObjectContent
    object: dict[str, Any] | None = None


@dataclass
class FakeStorage:
    """The sessions of all buckets, and what a test changes in them."""

    keeps_content: bool = True  # False: bytes are hashed and counted, so that large files need no memory
    sessions: dict[str, Session] = field(default_factory=dict)
    received_ranges: list[tuple[int, int]] = field(default_factory=list)  # first and last byte of each part
    kept_bytes: list[int] = field(default_factory=list)  # how much of the next parts is kept; then everything

    def routes(self, world: FakeWorld) -> list[Route]:
        handlers: list[tuple[str, str, str, Any]] = [
            ("POST", UPLOAD, "files.create", self.start),
            ("PUT", UPLOAD, "files.create", self.receive),
            ("DELETE", UPLOAD, "files.create", self.cancel),
            ("GET", OBJECT, "files.retrieve", self.get),
            ("DELETE", OBJECT, "files.delete", self.delete),
        ]
        return [
            Route(path, FaultGate(world, operation, handler), methods=[method])
            for method, path, operation, handler in handlers
        ]

    async def start(self, ask: FakeRequest) -> Reply:
        self._check_bucket(ask)
        query, body = ask.request.query_params, await ask.request.json()
        assert query["uploadType"] == "resumable"
        name, if_absent = query["name"], query.get("ifGenerationMatch") == "0"
        if if_absent and name in ask.account.files:
            raise Refused(412, "At least one of the pre-conditions you specified did not hold.", "conditionNotMet")
        session = uuid4().hex
        total = int(ask.request.headers["x-upload-content-length"])
        self.sessions[session] = Session(name, body, total, if_absent, ObjectContent(keep=self.keeps_content))
        address = f"https://storage.googleapis.com{ask.request.url.path}?uploadType=resumable&upload_id={session}"
        return Reply(headers={"location": address})

    async def receive(self, ask: FakeRequest) -> Reply:
        session = self._find(ask)
        if session.object is not None:
            return Reply(session.object)
        wanted = re.fullmatch(r"bytes (?:\*|(\d+)-(\d+))/(\d+)", ask.request.headers["content-range"])
        assert wanted is not None
        assert int(wanted[3]) == session.total
        if wanted[1] is None:
            return self._incomplete(session)
        await self._append(ask, session, int(wanted[1]), int(wanted[2]))
        return self._complete(ask, session) if session.content.size == session.total else self._incomplete(session)

    async def _append(self, ask: FakeRequest, session: Session, first: int, last: int) -> None:
        length = last - first + 1
        if first != session.content.size:
            raise Refused(400, f"the session has {session.content.size} bytes, not {first}", "invalid")
        if last + 1 != session.total and length % CHUNK_UNIT:
            raise Refused(400, "a part must be a multiple of 256 KiB", "invalid")
        kept = self.kept_bytes.pop(0) if self.kept_bytes else length
        content, received = session.content.fork(), 0
        async for data in ask.request.stream():
            content.append(data[: max(kept - received, 0)])
            received += len(data)
        assert received == length
        session.content = content
        self.received_ranges.append((first, last))

    def _incomplete(self, session: Session) -> Reply:
        received = session.content.size
        return Reply(status=308, headers={"range": f"bytes=0-{received - 1}"} if received else {})

    def _complete(self, ask: FakeRequest, session: Session) -> Reply:
        if "reject_file" in ask.faults:
            raise Refused(400, ask.faults["reject_file"].message, "invalid")
        content, md5 = session.content, session.content.md5
        if session.body.get("md5Hash", md5) != md5:
            raise Refused(400, f"Provided MD5 hash does not match calculated MD5 hash {md5}.", "invalid")
        if session.if_absent and session.name in ask.account.files:
            raise Refused(412, "At least one of the pre-conditions you specified did not hold.", "conditionNotMet")
        ask.account.files[session.name] = FakeFile(
            session.name, session.name, ask.now, ask.fate, content.content, md5, length=content.size
        )
        session.object = self._describe(ask, session.name)
        return Reply(session.object)

    async def cancel(self, ask: FakeRequest) -> Reply:
        self._find(ask)
        del self.sessions[ask.request.query_params["upload_id"]]
        return Reply(status=499)

    async def get(self, ask: FakeRequest) -> Reply:
        self._check_bucket(ask)
        ask.file(ask.path("name"))
        return Reply(self._describe(ask, ask.path("name")))

    async def delete(self, ask: FakeRequest) -> Reply:
        self._check_bucket(ask)
        ask.file(ask.path("name"))
        del ask.account.files[ask.path("name")]
        return Reply(status=204)

    def _find(self, ask: FakeRequest) -> Session:
        self._check_bucket(ask)
        session = self.sessions.get(ask.request.query_params["upload_id"])
        if session is None:
            raise Refused(404, "the session has expired", "notFound")
        return session

    def _check_bucket(self, ask: FakeRequest) -> None:
        if ask.path("bucket") != f"bucket-{ask.name}":
            raise Refused(403, f"{ask.name} does not have storage.objects.get access", "forbidden")

    def _describe(self, ask: FakeRequest, name: str) -> dict[str, Any]:
        """An object as it is shown: numbers are texts, and an object that was composed has no MD5."""
        file = ask.account.files[name]
        shown = {"kind": "storage#object", "name": name, "size": str(file.size), "generation": "1"}
        return shown | ({"md5Hash": file.checksum} if file.checksum else {})


def google_error(refused: Refused) -> dict[str, Any]:
    """A refusal as Google's APIs write it."""
    words = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND"}
    status = words.get(refused.status, refused.code.upper())
    return {"error": {"code": refused.status, "message": str(refused), "status": status}}


def create_gcs(clock: Callable[[], float]) -> tuple[Starlette, FakeWorld, FakeStorage]:
    """The storage alone. Key `sandbox-NAME` owns `bucket-NAME`."""
    world, storage = FakeWorld(google_error, clock), FakeStorage()
    return Starlette(routes=storage.routes(world)), world, storage
