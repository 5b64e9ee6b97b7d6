"""The uploads endpoints: a large file in parts, which may be sent in any order and concurrently."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from hashlib import md5
from typing import Any
from uuid import uuid4

from msgspec.structs import replace

from orchestrator.sandbox.api_call import ApiCall
from orchestrator.sandbox.blob_store import BlobStore, IncomingBlob
from orchestrator.sandbox.endpoints.files import file_to_json, parse_lifetime, save_file, validate_new_file
from orchestrator.sandbox.records import SandboxFile, SandboxUpload, SandboxUploadPart
from orchestrator.sandbox.response import CHUNK_BYTES, ApiResponse, bad_request, not_found
from orchestrator.sandbox.validation.multipart_form import parse_multipart_form

UPLOAD_LIFETIME_SECONDS = 3600  # an upload that is not completed by then expires
MAX_PART_BYTES = 64 * 1024 * 1024
MAX_UPLOAD_BYTES = 8 * 1024**3
REQUIRED_PARAMETERS = {"filename": str, "purpose": str, "bytes": int, "mime_type": str}


async def create_upload(call: ApiCall) -> ApiResponse:
    """Handle POST /v1/uploads."""
    body = await call.parse_json_body()
    for name, kind in REQUIRED_PARAMETERS.items():
        if not isinstance(body.get(name), kind):
            raise bad_request(f"Missing or invalid parameter: '{name}'.", name, "missing_required_parameter")
    if unknown := sorted(body.keys() - REQUIRED_PARAMETERS.keys() - {"expires_after"}):
        raise bad_request(f"Unknown parameter: '{unknown[0]}'.", unknown[0], "unknown_parameter")
    validate_new_file(body["filename"], body["purpose"], body["bytes"])
    if not 0 < body["bytes"] <= MAX_UPLOAD_BYTES:
        raise bad_request(f"Invalid 'bytes': expected 1 to {MAX_UPLOAD_BYTES}.", "bytes")
    expiry = body.pop("expires_after", None) or {}
    lifetime = parse_lifetime(expiry.get("anchor"), expiry.get("seconds"))
    upload = SandboxUpload(f"upload_{uuid4().hex[:24]}", call.account, call.now, lifetime=lifetime, **body)
    return ApiResponse(upload_to_json(call, call.state.uploads.save(upload)))


async def add_part(call: ApiCall) -> ApiResponse:
    """Handle POST /v1/uploads/{upload_id}/parts."""
    upload = _get_pending_upload(call)
    content_type = call.request.headers.get("content-type", "")
    with call.state.blobs.create_incoming() as incoming:
        form = await parse_multipart_form(content_type, call.request.stream(), incoming, MAX_PART_BYTES)
        if form.file_field != "data":
            raise bad_request("Missing required parameter: 'data'.", "data", "missing_required_parameter")
        incoming.finish()
        part = SandboxUploadPart(f"part_{uuid4().hex[:24]}", call.account, call.now, upload.id, incoming.size)
        call.state.blobs.save(incoming, part.id)
    call.state.parts.save(part)
    body = {"id": part.id, "object": "upload.part", "created_at": int(part.created_at), "upload_id": upload.id}
    return ApiResponse(body)


async def complete_upload(call: ApiCall) -> ApiResponse:
    """Handle POST /v1/uploads/{upload_id}/complete."""
    upload = _get_pending_upload(call)
    body = await call.parse_json_body()
    parts = _get_parts(call, upload, body.get("part_ids"))
    if (size := sum(part.bytes for part in parts)) != upload.bytes:
        raise bad_request(f"The parts have {size} bytes, but the upload was created with {upload.bytes}.", "part_ids")
    # Joining the parts of a large file takes time; meanwhile a second request must not complete the upload again.
    call.state.uploads.save(replace(upload, status="completing"))
    try:
        file = await _assemble_file(call, upload, parts, body.get("md5"))
    except BaseException:
        call.state.uploads.save(upload)
        raise
    _delete_parts(call, upload)
    return ApiResponse(
        upload_to_json(call, call.state.uploads.save(replace(upload, status="completed", file=file.id)))
    )


async def _assemble_file(
    call: ApiCall, upload: SandboxUpload, parts: Sequence[SandboxUploadPart], expected_md5: str | None
) -> SandboxFile:
    with call.state.blobs.create_incoming() as incoming:
        digest = await asyncio.to_thread(_join_parts, call.state.blobs, [part.id for part in parts], incoming)
        if expected_md5 not in {None, digest}:
            raise bad_request(f"The MD5 of the parts is {digest}, not {expected_md5}.", "md5", "checksum_mismatch")
        return await save_file(call, incoming, upload.filename, upload.purpose, upload.lifetime)


async def cancel_upload(call: ApiCall) -> ApiResponse:
    """Handle POST /v1/uploads/{upload_id}/cancel."""
    upload = _get_pending_upload(call)
    _delete_parts(call, upload)
    return ApiResponse(upload_to_json(call, call.state.uploads.save(replace(upload, status="cancelled"))))


def upload_to_json(call: ApiCall, upload: SandboxUpload) -> dict[str, Any]:
    """Convert an upload to the provider's JSON."""
    body = {
        "id": upload.id,
        "object": "upload",
        "created_at": int(upload.created_at),
        "expires_at": int(upload.created_at + UPLOAD_LIFETIME_SECONDS),
        "filename": upload.filename,
        "bytes": upload.bytes,
        "purpose": upload.purpose,
        "status": upload.status,
    }
    file = call.state.files.of(call.account).get(upload.file or "")
    return body if file is None else body | {"file": file_to_json(call.state, file, call.now)}


def _get_pending_upload(call: ApiCall) -> SandboxUpload:
    """Return the upload of the path while it accepts parts. Raises SandboxApiError (400, 404)."""
    name = call.get_path_parameter("upload_id")
    upload = call.state.uploads.of(call.account).get(name)
    if upload is None:
        raise not_found("Upload object", name, param="upload_id")
    status = "expired" if call.now >= upload.created_at + UPLOAD_LIFETIME_SECONDS else upload.status
    if upload.status != "pending" or status == "expired":
        raise bad_request(f"Upload {name} is {status}.", "upload_id", "upload_not_pending")
    return upload


def _get_parts(call: ApiCall, upload: SandboxUpload, names: Any) -> list[SandboxUploadPart]:
    if not isinstance(names, list) or not names or len(set(map(str, names))) != len(names):
        raise bad_request("Invalid 'part_ids': expected a list of ids, each once.", "part_ids")
    parts = call.state.parts.of(call.account)
    for name in names:
        if name not in parts or parts[name].upload != upload.id:
            raise bad_request(f"Invalid 'part_ids': {name!r} is no part of {upload.id}.", "part_ids")
    return [parts[name] for name in names]


def _delete_parts(call: ApiCall, upload: SandboxUpload) -> None:
    for part in list(call.state.parts.of(call.account).values()):
        if part.upload == upload.id:
            call.state.parts.delete(part)
            call.state.blobs.delete(part.id)


def _join_parts(blobs: BlobStore, names: Sequence[str], target: IncomingBlob) -> str:
    """Write the parts one after another, and return the MD5 of the whole content."""
    digest = md5(usedforsecurity=False)
    for name in names:
        path = blobs.path(name)
        if path is None:
            continue
        with path.open("rb") as part:
            while chunk := part.read(CHUNK_BYTES):
                digest.update(chunk)
                target.write(chunk)
    return digest.hexdigest()
