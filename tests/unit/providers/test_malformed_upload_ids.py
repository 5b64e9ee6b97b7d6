"""Answers of the Uploads API that name no upload, part or file: nothing is trained on a file that has no id."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import pytest

from orchestrator.core.account import Account, ProviderName
from orchestrator.core.remote import MultipartUpload
from orchestrator.core.secret import Redactor, Secret
from orchestrator.providers.base import DatasetFile, Deadline
from orchestrator.providers.http.client import HttpClient
from orchestrator.providers.openai.client import OpenAIClient
from orchestrator.providers.openai.multipart import complete_upload, upload_parts
from orchestrator.providers.openai.openai_provider import OpenAIProvider, build_provider_factory

DEADLINE = Deadline(100.0, lambda: 0.0)
ODD_IDS: list[Any] = [None, "", 7, "x" * 300, "a\0b"]


def calls(http: HttpClient) -> OpenAIClient:
    provider = build_provider_factory(http, Redactor())(
        Account(name="acme", provider=ProviderName.OPENAI, api_key="env:KEY"), Secret("key-of-acme")
    )
    assert isinstance(provider, OpenAIProvider)
    return provider._client


def wanted(folder: Path) -> DatasetFile:
    path = folder / "data.jsonl"
    path.write_bytes(b"{}\n")
    return DatasetFile(path=path, filename="orchestrator-1.jsonl", bytes=3, sha256="0" * 64, examples=1)


@pytest.mark.parametrize("odd", ODD_IDS, ids=lambda odd: repr(odd)[:10])
async def test_file_without_a_usable_id_is_refused(tmp_path: Path, odd: Any) -> None:
    answer = {"id": "upload-1", "status": "completed", "file": {"id": odd, "status": "processed"}}
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, json=answer))
    async with HttpClient(transport) as http:
        upload = MultipartUpload(id="upload-1", part_bytes=3, parts={0: "part-1"})
        with pytest.raises(ValueError, match="Expected"):
            await complete_upload(calls(http), wanted(tmp_path), upload, DEADLINE, resumed=False, md5="m")


@pytest.mark.parametrize("path", ["/v1/uploads", "/v1/uploads/upload-1/parts"])
@pytest.mark.parametrize("odd", ODD_IDS, ids=lambda odd: repr(odd)[:10])
async def test_upload_or_part_without_a_usable_id_is_refused(tmp_path: Path, path: str, odd: Any) -> None:
    asked: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.url.path)
        return httpx2.Response(200, json={"id": odd if request.url.path == path else "upload-1"})

    async with HttpClient(httpx2.MockTransport(answer)) as http:
        with pytest.raises(ValueError, match="Expected"):
            await upload_parts(calls(http), wanted(tmp_path), DEADLINE, part_bytes=3)
    assert asked[-1] == path
