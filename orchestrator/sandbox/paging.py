"""Pagination of lists: `after` is the id of the previous page's last item, `has_more` announces another page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.sandbox.response import bad_request


def build_page(
    items: Sequence[dict[str, Any]], query: Mapping[str, str], *, default: int, maximum: int
) -> dict[str, Any]:
    """Build one page of items that are already in their order. Raises SandboxApiError (400)."""
    limit = _parse_limit(query.get("limit"), default, maximum)
    begin = _get_position(items, query.get("after"))
    data = list(items[begin : begin + limit])
    return {"object": "list", "data": data, "has_more": begin + limit < len(items)}


def add_first_and_last_id(page: dict[str, Any], *, empty: str | None) -> dict[str, Any]:
    """Add the ids of the first and last item to a page, or `empty` if it has no items."""
    data = page["data"]
    first, last = (data[0]["id"], data[-1]["id"]) if data else (empty, empty)
    return page | {"first_id": first, "last_id": last}


def _parse_limit(text: str | None, default: int, maximum: int) -> int:
    if text is None:
        return default
    if not text.isdecimal() or int(text) < 1:
        raise bad_request(f"Invalid 'limit': expected an integer of at least 1, but got {text!r}.", "limit")
    return min(int(text), maximum)


def _get_position(items: Sequence[dict[str, Any]], after: str | None) -> int:
    if after is None:
        return 0
    for position, item in enumerate(items, 1):
        if item["id"] == after:
            return position
    raise bad_request(f"Invalid 'after': no object with id {after!r} in this list.", "after")
