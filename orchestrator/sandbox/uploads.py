"""The uploads endpoints: a large file in parts, which may come in any order and at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from hashlib import md5
from typing import Any
from uuid import uuid4

from orchestrator.sandbox.answer import CHUNK, Answer, invalid, missing
from orchestrator.sandbox.blobs import Blobs, Incoming
from orchestrator.sandbox.call import Call
from orchestrator.sandbox.files import check_new_file, file_body, keep_file, parse_lifetime
from orchestrator.sandbox.form import read_form
from orchestrator.sandbox.records import File, Part, Upload

SECONDS = 3600
PART_LIMIT = 64 * 1024 * 1024
UPLOAD_LIMIT = 8 * 1024**3
REQUIRED = {"filename": str, "purpose": str, "bytes": int, "mime_type": str}


async def create_upload(call: Call) -> Answer:
    """POST /v1/uploads."""
    body = await call.json()
    for name, kind in REQUIRED.items():
        if not isinstance(body.get(name), kind):
            raise invalid(f"Missing or invalid parameter: '{name}'.", name, "missing_required_parameter")
    if unknown := sorted(body.keys() - REQUIRED.keys() - {"expires_after"}):
        raise invalid(f"Unknown parameter: '{unknown[0]}'.", unknown[0], "unknown_parameter")
    check_new_file(body["filename"], body["purpose"], body["bytes"])
    if not 0 < body["bytes"] <= UPLOAD_LIMIT:
        raise invalid(f"Invalid 'bytes': expected 1 to {UPLOAD_LIMIT}.", "bytes")
    expiry = body.pop("expires_after", None) or {}
    lifetime = parse_lifetime(expiry.get("anchor"), expiry.get("seconds"))
    upload = Upload(f"upload_{uuid4().hex[:24]}", call.account, call.now, lifetime=lifetime, **body)
    return Answer(upload_body(call, call.world.uploads.save(upload)))


async def add_part(call: Call) -> Answer:
    """POST /v1/uploads/{upload_id}/parts."""
    upload = _pending(call)
    content_type = call.request.headers.get("content-type", "")
    with call.world.blobs.incoming() as incoming:
        form = await read_form(content_type, call.request.stream(), incoming, PART_LIMIT)
        if form.file_field != "data":
            raise invalid("Missing required parameter: 'data'.", "data", "missing_required_parameter")
        incoming.finish()
        part = Part(f"part_{uuid4().hex[:24]}", call.account, call.now, upload.id, incoming.size)
        call.world.blobs.keep(incoming, part.id)
    call.world.parts.save(part)
    body = {"id": part.id, "object": "upload.part", "created_at": int(part.created_at), "upload_id": upload.id}
    return Answer(body)


async def complete_upload(call: Call) -> Answer:
    """POST /v1/uploads/{upload_id}/complete."""
    upload = _pending(call)
    body = await call.json()
    parts = _parts(call, upload, body.get("part_ids"))
    if (size := sum(part.bytes for part in parts)) != upload.bytes:
        raise invalid(f"The parts have {size} bytes, but the upload was created with {upload.bytes}.", "part_ids")
    call.world.uploads.save(replace(upload, status="completing"))  # once: the parts of a large file take their time
    try:
        file = await _whole(call, upload, parts, body.get("md5"))
    except BaseException:
        call.world.uploads.save(upload)
        raise
    _forget_parts(call, upload)
    return Answer(upload_body(call, call.world.uploads.save(replace(upload, status="completed", file=file.id))))


async def _whole(call: Call, upload: Upload, parts: Sequence[Part], wanted: str | None) -> File:
    with call.world.blobs.incoming() as incoming:
        digest = await asyncio.to_thread(_join, call.world.blobs, [part.id for part in parts], incoming)
        if wanted not in {None, digest}:
            raise invalid(f"The MD5 of the parts is {digest}, not {wanted}.", "md5", "checksum_mismatch")
        return await keep_file(call, incoming, upload.filename, upload.purpose, upload.lifetime)


async def cancel_upload(call: Call) -> Answer:
    """POST /v1/uploads/{upload_id}/cancel."""
    upload = _pending(call)
    _forget_parts(call, upload)
    return Answer(upload_body(call, call.world.uploads.save(replace(upload, status="cancelled"))))


def upload_body(call: Call, upload: Upload) -> dict[str, Any]:
    """The upload as the provider shows it."""
    body = {
        "id": upload.id,
        "object": "upload",
        "created_at": int(upload.created_at),
        "expires_at": int(upload.created_at + SECONDS),
        "filename": upload.filename,
        "bytes": upload.bytes,
        "purpose": upload.purpose,
        "status": upload.status,
    }
    file = call.world.files.of(call.account).get(upload.file or "")
    return body if file is None else body | {"file": file_body(call.world, file, call.now)}


def _pending(call: Call) -> Upload:
    """The caller's upload that the path names, while it takes parts. Raises Refusal (400, 404)."""
    name = call.path("upload_id")
    upload = call.world.uploads.of(call.account).get(name)
    if upload is None:
        raise missing("Upload object", name, param="upload_id")
    status = "expired" if call.now >= upload.created_at + SECONDS else upload.status
    if upload.status != "pending" or status == "expired":
        raise invalid(f"Upload {name} is {status}.", "upload_id", "upload_not_pending")
    return upload


def _parts(call: Call, upload: Upload, names: Any) -> list[Part]:
    if not isinstance(names, list) or not names or len(set(map(str, names))) != len(names):
        raise invalid("Invalid 'part_ids': expected a list of ids, each once.", "part_ids")
    parts = call.world.parts.of(call.account)
    for name in names:
        if name not in parts or parts[name].upload != upload.id:
            raise invalid(f"Invalid 'part_ids': {name!r} is no part of {upload.id}.", "part_ids")
    return [parts[name] for name in names]


def _forget_parts(call: Call, upload: Upload) -> None:
    for part in list(call.world.parts.of(call.account).values()):
        if part.upload == upload.id:
            call.world.parts.remove(part)
            call.world.blobs.remove(part.id)


def _join(blobs: Blobs, names: Sequence[str], into: Incoming) -> str:
    """Write the parts one after another; the MD5 of all."""
    digest = md5(usedforsecurity=False)
    for name in names:
        path = blobs.path(name)
        if path is None:
            continue
        with path.open("rb") as part:
            while chunk := part.read(CHUNK):
                digest.update(chunk)
                into.write(chunk)
    return digest.hexdigest()
