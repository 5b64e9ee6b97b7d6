"""The sandbox stores uploaded content under its SHA-256 and leaves nothing of an incomplete upload."""

from __future__ import annotations

from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path

import pytest

from orchestrator.sandbox.blob_store import BlobStore
from orchestrator.sandbox.response import SandboxApiError
from orchestrator.sandbox.validation.multipart_form import MultipartForm, parse_multipart_form

CONTENT = b"line one\r\n--not the end\r\nline two\r\n" * 50
BODY = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n' + CONTENT + b"\r\n--b--\r\n"


async def read(blobs: BlobStore, piece: int, limit: int = 10_000) -> tuple[MultipartForm, str]:
    async def body() -> AsyncIterator[bytes]:
        for start in range(0, len(BODY), piece):
            yield BODY[start : start + piece]

    with blobs.create_incoming() as incoming:
        form = await parse_multipart_form("multipart/form-data; boundary=b", body(), incoming, limit)
        digest = incoming.finish()
        blobs.save(incoming, digest)
    return form, digest


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("piece", [1, 7, 100_000])
async def test_file_is_stored_unchanged_for_every_chunk_size(tmp_path: Path, piece: int) -> None:
    blobs = BlobStore(tmp_path)
    form, digest = await read(blobs, piece)
    assert (form.file_field, form.filename, form.fields) == ("file", "a.jsonl", {})
    assert digest == sha256(CONTENT).hexdigest()
    assert contents(tmp_path) == {digest: CONTENT}


async def test_too_large_file_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(SandboxApiError) as refused:
        await read(BlobStore(tmp_path), 100, limit=len(CONTENT) - 1)
    assert refused.value.response.status == 413
    assert contents(tmp_path) == {}


def test_incomplete_file_of_a_killed_sandbox_is_deleted(tmp_path: Path) -> None:
    (tmp_path / "incoming-x").write_bytes(b"half")
    (tmp_path / "kept").write_bytes(b"whole")
    blobs = BlobStore(tmp_path)
    assert contents(tmp_path) == {"kept": b"whole"}
    blobs.delete("kept")
    assert blobs.path("kept") is None


def test_temporary_folder_is_deleted_with_its_store() -> None:
    blobs = BlobStore(None)
    with blobs.create_incoming() as incoming:
        incoming.write(b"x")
        blobs.save(incoming, incoming.finish())
    path = blobs.path(sha256(b"x").hexdigest())
    assert path is not None
    del blobs
    assert not path.parent.exists()
