"""One side of `throughput.py`, in a process of its own: a file to many accounts at once.

    python benchmarks/sending.py WAY BASE_URL UPLOADS FILE

`handles` is the bare SDK with a file handle each; `chunked` is the SDK's own upload in parts; `ours` is the program's
upload of a replica, the hash before it included. Prints the seconds from the first byte read to the last answer.
"""

from __future__ import annotations

import asyncio
import hashlib
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from openai import AsyncOpenAI

CONNECTIONS = 50
PART = 16_000_000  # what the program's parts have


@asynccontextmanager
async def sdk(url: str) -> AsyncIterator[AsyncOpenAI]:
    """The bare SDK over one HTTP client."""
    import httpx2
    from openai import AsyncOpenAI

    limits = httpx2.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
    async with httpx2.AsyncClient(transport=httpx2.AsyncHTTPTransport(limits=limits), timeout=None) as http:
        yield AsyncOpenAI(api_key="x", base_url=url, http_client=http, max_retries=0)


async def handles(url: str, uploads: int, file: Path) -> None:
    """`files.create` with a handle."""

    async def one(account: AsyncOpenAI) -> None:
        with file.open("rb") as handle:
            await account.files.create(file=(file.name, handle, "application/jsonl"), purpose="fine-tune")

    async with sdk(url) as base:
        await asyncio.gather(*(one(base.with_options(api_key=f"bench-key-{number}")) for number in range(uploads)))


async def chunked(url: str, uploads: int, file: Path) -> None:
    """`uploads.upload_file_chunked`: the same calls as the program's, one part after the other."""

    async def one(account: AsyncOpenAI) -> None:
        await account.uploads.upload_file_chunked(
            file=file, mime_type="application/jsonl", purpose="fine-tune", part_size=PART
        )

    async with sdk(url) as base:
        await asyncio.gather(*(one(base.with_options(api_key=f"bench-key-{number}")) for number in range(uploads)))


async def ours(url: str, uploads: int, file: Path) -> None:
    """What the daemon has a provider do."""
    from orchestrator.core.account import Account, ProviderName
    from orchestrator.core.secret import Redactor, Secret
    from orchestrator.providers.base import DatasetFile, Deadline
    from orchestrator.providers.http.client import create_http_client
    from orchestrator.providers.openai.openai_provider import build_provider_factory

    with file.open("rb") as handle:
        digest = hashlib.file_digest(handle, "sha256").hexdigest()
        size = handle.tell()
    wanted = DatasetFile(path=file, filename=file.name, bytes=size, sha256=digest, examples=10)
    deadline = Deadline(time.perf_counter() + 3600, time.perf_counter)

    async def one(number: int) -> None:
        account = Account(name=f"a{number}", provider=ProviderName.OPENAI, api_key="env:X", base_url=url)
        await connect(account, Secret(f"bench-key-{number}")).upload_file(wanted, deadline)

    async with create_http_client(CONNECTIONS) as http:
        connect = build_provider_factory(http, Redactor())
        await asyncio.gather(*(one(number) for number in range(uploads)))


def main() -> None:
    """One way, once."""
    way, url, uploads, file = sys.argv[1:]
    ways = {"handles": handles, "chunked": chunked, "ours": ours}
    begin = time.perf_counter()
    asyncio.run(ways[way](url, int(uploads), Path(file)))
    print(time.perf_counter() - begin)


if __name__ == "__main__":
    main()
