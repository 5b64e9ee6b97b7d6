"""Reads a list of version 2 of Together's API to its last page."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import msgspec

from orchestrator.providers.http.response_decoder import ListLimits
from orchestrator.providers.http.rest_client import RestClient
from orchestrator.providers.together.deployment_responses import CursorPage, Item

PAGE_SIZE: Final = 100


async def list_cursor_items(
    client: RestClient, decoder: msgspec.json.Decoder[CursorPage[Item]], path: str, **query: str
) -> list[Item]:
    """Return every item of a list. Raises `ProviderError`, also for a list that repeats itself."""
    limits = ListLimits(path, asyncio.get_running_loop().time)
    items: list[Item] = []
    after: dict[str, Any] = {}
    while True:
        async with client.read_call(), asyncio.timeout(limits.seconds_left):
            page = await client.get_page(limits, decoder, path, limit=str(PAGE_SIZE), **query, **after)
            items += page.data
            if not page.next_cursor:
                return items
            limits.count_page(len(page.data), page.next_cursor)
        after = {"after": page.next_cursor}
