"""A fake of Amazon S3: objects, conditional creates, uploads in parts, checksums. A bucket for each account."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any
from uuid import uuid4
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from fake_aws import identify_by_signature, xml_error
from fake_world import FakeFile, FakeRequest, FakeWorld, FaultGate, Refused, Reply
from object_content import ObjectContent
from starlette.applications import Starlette
from starlette.routing import Route

OBJECT = "/s3/{bucket}/{name}"
MIN_PART_BYTES = 5 * 1024 * 1024  # of all parts but the last one


@dataclass
class S3Upload:
    """An upload in parts that is neither completed nor aborted."""

    bucket: str
    name: str
    parts: dict[int, ObjectContent] = field(default_factory=dict)


@dataclass
class FakeS3:
    """The uploads of all buckets, and what a test changes in them."""

    keeps_content: bool = True  # False: bytes are hashed and counted, so that large files need no memory
    list_parts_status: int = 200  # what a list of parts answers: 403 without the permission for it
    uploads: dict[str, S3Upload] = field(default_factory=dict)

    def routes(self, world: FakeWorld) -> list[Route]:
        world = replace(world, error=xml_error)  # the same accounts and faults
        handlers: list[tuple[str, str, Any]] = [
            ("PUT", "files.create", self.put),
            ("POST", "files.create", self.post),
            ("HEAD", "files.retrieve", self.head_object),  # before GET, whose route takes HEAD too
            ("GET", "files.retrieve", self.list_parts),
            ("DELETE", "files.delete", self.delete),
        ]
        return [
            Route(OBJECT, FaultGate(world, operation, handler, identify=identify_by_signature), methods=[method])
            for method, operation, handler in handlers
        ]

    async def put(self, ask: FakeRequest) -> Reply:
        """Store an object, or a part of one. Refuse bytes that are not those of the checksum."""
        self._check_bucket(ask)
        if "reject_file" in ask.faults:
            raise Refused(400, ask.faults["reject_file"].message, "InvalidRequest")
        content = await self._receive(ask)
        if "uploadId" not in ask.request.query_params:
            checksum = encode(content.sha256) if "x-amz-checksum-sha256" in ask.request.headers else None
            return self._create_object(ask, content.content, content.size, checksum)
        number = int(ask.request.query_params["partNumber"])
        self._find_upload(ask).parts[number] = content
        return Reply(headers={"etag": etag(content), "x-amz-checksum-sha256": encode(content.sha256)})

    async def _receive(self, ask: FakeRequest) -> ObjectContent:
        headers, content = ask.request.headers, ObjectContent(keep=self.keeps_content)
        async for data in ask.request.stream():
            content.append(data)
        assert content.size == int(headers["content-length"])
        if headers["x-amz-content-sha256"] != content.sha256.hex():
            raise Refused(400, "The provided 'x-amz-content-sha256' does not match.", "XAmzContentSHA256Mismatch")
        if headers.get("x-amz-checksum-sha256", encode(content.sha256)) != encode(content.sha256):
            raise Refused(400, "The SHA256 you specified did not match.", "BadDigest")
        return content

    def _create_object(self, ask: FakeRequest, content: bytes, size: int, checksum: str | None) -> Reply:
        name = ask.path("name")
        if ask.request.headers.get("if-none-match") == "*" and name in ask.account.files:
            raise Refused(412, "At least one of the pre-conditions did not hold.", "PreconditionFailed")
        ask.account.files[name] = FakeFile(name, name, ask.now, ask.fate, content, checksum, length=size)
        return Reply(headers={"etag": '"1"'})

    async def post(self, ask: FakeRequest) -> Reply:
        """Start an upload in parts, or complete it."""
        self._check_bucket(ask)
        if "uploadId" in ask.request.query_params:
            return await self._complete(ask)
        assert ask.request.headers["x-amz-checksum-algorithm"] == "SHA256"
        upload_id = f"{uuid4().hex}.{uuid4().hex}"
        self.uploads[upload_id] = S3Upload(ask.path("bucket"), ask.path("name"))
        return xml_reply("InitiateMultipartUploadResult", f"<UploadId>{upload_id}</UploadId>")

    async def _complete(self, ask: FakeRequest) -> Reply:
        upload = self._find_upload(ask)
        listed = [
            (int(part.findtext("{*}PartNumber", "")), part.findtext("{*}ETag"), part.findtext("{*}ChecksumSHA256"))
            for part in ElementTree.fromstring(await ask.request.body()).iterfind("{*}Part")
        ]
        parts = [upload.parts.get(number) for number, _, _ in listed]
        if not listed or [number for number, _, _ in listed] != sorted({number for number, _, _ in listed}):
            raise Refused(400, "The list of parts was not in ascending order.", "InvalidPartOrder")
        found = [part for part in parts if part is not None]
        if len(found) < len(parts) or any(
            (tag, checksum) != (etag(part), encode(part.sha256))
            for (_, tag, checksum), part in zip(listed, found, strict=True)
        ):
            raise Refused(400, "One or more of the specified parts could not be found.", "InvalidPart")
        if any(part.size < MIN_PART_BYTES for part in found[:-1]):
            raise Refused(400, "Your proposed upload is smaller than the minimum allowed size.", "EntityTooSmall")
        composite = encode(sha256(b"".join(part.sha256 for part in found)).digest())
        content = b"".join(part.content for part in found)
        self._create_object(ask, content, sum(part.size for part in found), f"{composite}-{len(found)}")
        del self.uploads[ask.request.query_params["uploadId"]]
        return xml_reply("CompleteMultipartUploadResult", '<ETag>"1"</ETag>')

    async def list_parts(self, ask: FakeRequest) -> Reply:
        self._check_bucket(ask)
        if self.list_parts_status != 200:
            code = {403: "AccessDenied", 405: "MethodNotAllowed"}.get(self.list_parts_status, "NotImplemented")
            raise Refused(self.list_parts_status, "Not here", code)
        listed = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{escape(etag(part), {chr(34): '&quot;'})}</ETag>"
            f"<Size>{part.size}</Size><ChecksumSHA256>{encode(part.sha256)}</ChecksumSHA256></Part>"
            for number, part in sorted(self._find_upload(ask).parts.items())
        )
        return xml_reply("ListPartsResult", f"<IsTruncated>false</IsTruncated>{listed}")

    async def head_object(self, ask: FakeRequest) -> Reply:
        self._check_bucket(ask)
        file = ask.file(ask.path("name"))
        headers = {"content-length": str(file.size), "etag": '"1"'}
        return Reply(headers=headers | ({"x-amz-checksum-sha256": file.checksum} if file.checksum else {}))

    async def delete(self, ask: FakeRequest) -> Reply:
        """Delete an object, or abort an upload."""
        self._check_bucket(ask)
        if "uploadId" in ask.request.query_params:
            self._find_upload(ask)
            del self.uploads[ask.request.query_params["uploadId"]]
        else:
            ask.account.files.pop(ask.path("name"), None)
        return Reply(status=204)

    def _find_upload(self, ask: FakeRequest) -> S3Upload:
        upload = self.uploads.get(ask.request.query_params["uploadId"])
        if upload is None or (upload.bucket, upload.name) != (ask.path("bucket"), ask.path("name")):
            raise Refused(404, "The specified upload does not exist.", "NoSuchUpload")
        return upload

    def _check_bucket(self, ask: FakeRequest) -> None:
        if ask.path("bucket") != f"bucket-{ask.name}":
            raise Refused(403, "Access Denied", "AccessDenied")


def encode(digest: bytes) -> str:
    """A checksum as it is written in headers."""
    return base64.b64encode(digest).decode()


def etag(content: ObjectContent) -> str:
    """The ETag of a part."""
    return f'"{content.sha256.hex()[:32]}"'


def xml_reply(tag: str, inner: str) -> Reply:
    """A response of S3."""
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<{tag}>{inner}</{tag}>'
    return Reply(text.encode(), headers={"content-type": "application/xml"})


def create_s3(clock: Any) -> tuple[Starlette, FakeWorld, FakeS3]:
    """The storage alone. Key `sandbox-NAME:secret-of-NAME` owns `bucket-NAME`."""
    world, storage = FakeWorld(xml_error, clock), FakeS3()
    return Starlette(routes=storage.routes(world)), world, storage
