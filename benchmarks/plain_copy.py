"""Send a file to several addresses in parts with a bare loop over httpx2: no API, no checksum, no record.

python benchmarks/plain_copy.py FILE URL...
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2

PART_BYTES = 16 * 1024 * 1024
CHUNK_BYTES = 256 * 1024


async def read_part(path: Path, start: int, length: int) -> AsyncIterator[bytes]:
    """Yield a part of the file in chunks."""
    with path.open("rb") as file:
        file.seek(start)
        while length > 0 and (data := file.read(min(CHUNK_BYTES, length))):
            length -= len(data)
            yield data


async def send_file(client: httpx2.AsyncClient, path: Path, size: int, url: str) -> None:
    """Send the file, one part after the other."""
    for start in range(0, size, PART_BYTES):
        length = min(PART_BYTES, size - start)
        headers = {"content-length": str(length)}
        answer = await client.put(url, content=read_part(path, start, length), headers=headers)
        answer.raise_for_status()


async def send_files(path: Path, size: int, urls: list[str]) -> None:
    """Send the file to all addresses at the same time."""
    async with httpx2.AsyncClient(timeout=600) as client, asyncio.TaskGroup() as group:
        for url in urls:
            group.create_task(send_file(client, path, size, url))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Send a file to several addresses in parts.")
    parser.add_argument("file", type=Path)
    parser.add_argument("urls", nargs="+")
    given = parser.parse_args()
    asyncio.run(send_files(given.file, given.file.stat().st_size, given.urls))
