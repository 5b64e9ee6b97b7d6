"""A provider's upload address decides where the chats go: what leads elsewhere than to its storage is refused."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest

from orchestrator.core.account import Account, ProviderName
from orchestrator.core.errors import UploadAddressRefused
from orchestrator.core.secret import Redactor, Secret
from orchestrator.providers.base import DatasetFile, Deadline
from orchestrator.providers.fireworks import fireworks_provider
from orchestrator.providers.http.client import HttpClient
from orchestrator.providers.together import together_provider

KEY = Secret("key-of-acme")
DEADLINE = Deadline(100.0, lambda: 0.0)
FAR = "https://far.example/v1"


class Server:
    """Together or Fireworks, with this upload address. `put` is where the chats were sent."""

    def __init__(self, address: str) -> None:
        self.put: list[str] = []
        self._address = address

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        if request.method == "PUT":
            self.put.append(str(request.url))
            return httpx2.Response(200)
        if request.url.path.endswith(":getUploadEndpoint"):
            return httpx2.Response(200, json={"filenameToSignedUrls": {"a.jsonl": self._address}})
        if request.url.path == "/v1/files":
            headers = {"location": self._address, "x-together-file-id": "file-1"}
            return httpx2.Response(302, headers=headers)
        return httpx2.Response(
            200,
            json={
                "id": "file-1",
                "name": "accounts/acme/datasets/a",
                "object": "file",
                "filename": "a.jsonl",
                "bytes": 3,
                "created_at": 1,
                "purpose": "fine-tune",
                "processing_status": "COMPLETED",
            },
        )


async def upload(
    server: Server, folder: Path, base_url: str, provider: ProviderName = ProviderName.TOGETHER, size: int = 3
) -> None:
    path = folder / "a.jsonl"
    path.write_bytes(b"{}\n")
    account = Account(name="acme", provider=provider, api_key="env:KEY", organization="acme", base_url=base_url)
    wanted = DatasetFile(path=path, filename="a.jsonl", bytes=size, sha256="0" * 64, examples=1)
    connector = (
        together_provider.build_provider_factory
        if provider is ProviderName.TOGETHER
        else fireworks_provider.build_provider_factory
    )
    async with HttpClient(httpx2.MockTransport(server)) as http:
        await connector(http, Redactor())(account, KEY).upload_file(wanted, DEADLINE)


@pytest.mark.parametrize(
    ("base_url", "address", "reason"),
    [
        (FAR, "http://storage.example/a?sig=x", "is not encrypted"),
        (FAR, "http://localhost:18522/internal/admin?do=1", "is in a private network"),
        (FAR, "https://localhost/a", "is in a private network"),
        (FAR, "https://127.0.0.1/a", "is in a private network"),
        (FAR, "https://127.1/a", "is in a private network"),
        (FAR, "https://2130706433/a", "is in a private network"),
        (FAR, "https://0x7f.1./a", "is in a private network"),
        (FAR, "https://[::1]/a", "is in a private network"),
        (FAR, "https://[::ffff:10.0.0.1]/a", "is in a private network"),
        (FAR, "https://10.1.2.3/a", "is in a private network"),
        (FAR, "https://169.254.169.254/a", "is a metadata service"),
        (FAR, "https://100.64.0.1/a", "is in a private network"),
        (FAR, "https://0.0.0.0/a", "is in a private network"),
        (FAR, "https://database/a", "is in a private network"),
        (FAR, "https://vault.internal/a", "is in a private network"),
        (FAR, "https://printer.local./a", "is in a private network"),
        (FAR, "https://user:hunter2@storage.example/a", "contains a user or password"),
        (FAR, "https://@storage.example/a", "contains a user or password"),
        (FAR, "ftp://storage.example/a", "is not https"),
        (FAR, "file:///etc/passwd", "is not https"),
        (FAR, "/relative", "is not https"),
        (FAR, "https:///a", "names no host"),
        ("http://gateway.example/v1", "http://storage.example/a", "is not encrypted"),
        ("http://127.0.0.1:8000/v1", "http://storage.example/a", "is not encrypted"),
        ("http://127.0.0.1:8000/v1", "ftp://127.0.0.1/a", "is not https"),
    ],
)
async def test_an_upload_address_that_leads_elsewhere_is_refused(
    base_url: str, address: str, reason: str, tmp_path: Path
) -> None:
    server = Server(address)
    with pytest.raises(UploadAddressRefused, match=reason) as caught:
        await upload(server, tmp_path, base_url)
    assert server.put == []
    assert caught.value.account == "acme"
    for part in ("sig=", "do=1", "hunter2"):
        assert part not in caught.value.message, "a query or password may be a key"


@pytest.mark.parametrize(
    ("base_url", "address"),
    [
        (FAR, "https://storage.example/a?sig=x"),
        (FAR, "https://1-2-3-4.storage.example:8443/a"),
        (FAR, "https://8.8.8.8/a"),
        ("http://127.0.0.1:8000/v1", "http://127.0.0.1:9000/a"),
        ("http://localhost:8000/v1", "https://storage.example/a"),
        ("https://10.0.0.1/v1", "https://10.0.0.2/a"),
        ("https://together.internal/v1", "https://storage.internal/a"),
        ("http://10.0.0.1/v1", "http://10.0.0.2/a"),
        ("http://gateway.example/v1", "http://10.0.0.2/a"),
    ],
)
async def test_an_upload_address_in_the_network_of_the_provider_is_used(
    base_url: str, address: str, tmp_path: Path
) -> None:
    server = Server(address)
    await upload(server, tmp_path, base_url)
    assert server.put == [address]


async def test_an_upload_address_of_fireworks_is_checked_as_well(tmp_path: Path) -> None:
    server = Server("https://127.0.0.1/a")
    with pytest.raises(UploadAddressRefused, match="is in a private network"):
        await upload(server, tmp_path, FAR, ProviderName.FIREWORKS, fireworks_provider.MAX_DIRECT_UPLOAD_BYTES + 1)
    assert server.put == []
