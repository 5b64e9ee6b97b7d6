"""The reference: the same calls with the same SDK, one HTTP client and the same concurrency, and no storage.

python benchmarks/bare.py BASE_URL ACCOUNTS CONCURRENCY FILE
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import httpx2
from openai import AsyncOpenAI


async def account(client: AsyncOpenAI, file: Path) -> str | None:
    """Make the eight calls of one account."""
    await client.models.list()
    await client.files.list(purpose="fine-tune", limit=100)
    with file.open("rb") as handle:
        sent = await client.files.create(file=(file.name, handle, "application/jsonl"), purpose="fine-tune")
    await client.files.retrieve(sent.id)
    await client.fine_tuning.jobs.list(limit=100)
    job = await client.fine_tuning.jobs.create(
        model="sandbox-small",
        training_file=sent.id,
        seed=42,
        metadata={"tag": "x"},
        method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 3}}},
    )
    done = await client.fine_tuning.jobs.retrieve(job.id)
    await client.fine_tuning.jobs.list_events(job.id, limit=100)
    return done.fine_tuned_model


async def main() -> None:
    """Process all accounts with limited concurrency."""
    url, accounts, concurrency, file = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
    limits = httpx2.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
    http = httpx2.AsyncClient(transport=httpx2.AsyncHTTPTransport(limits=limits))
    base = AsyncOpenAI(api_key="x", base_url=url, http_client=http, max_retries=0)
    slots = asyncio.Semaphore(concurrency)

    async def one(number: int) -> str | None:
        async with slots:
            return await account(base.with_options(api_key=f"bench-key-{number}"), file)

    models = await asyncio.gather(*(one(number) for number in range(accounts)))
    print(len(set(models)))


asyncio.run(main())
