"""Lists in pages: `after` is the id of the last one seen, `has_more` tells whether to go on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.sandbox.response import bad_request


def build_page(
    items: Sequence[dict[str, Any]], query: Mapping[str, str], *, default: int, maximum: int
) -> dict[str, Any]:
    """One page of items, which are in the order they are listed in. Raises Refusal (400)."""
    limit = _parse_limit(query.get("limit"), default, maximum)
    begin = _get_position(items, query.get("after"))
    data = list(items[begin : begin + limit])
    return {"object": "list", "data": data, "has_more": begin + limit < len(items)}


def add_first_and_last_id(answer: dict[str, Any], *, empty: str | None) -> dict[str, Any]:
    """The page with the ids of its first and last item; `empty` stands for them when there is none."""
    data = answer["data"]
    first, last = (data[0]["id"], data[-1]["id"]) if data else (empty, empty)
    return answer | {"first_id": first, "last_id": last}


def _parse_limit(given: str | None, default: int, maximum: int) -> int:
    if given is None:
        return default
    if not given.isdecimal() or int(given) < 1:
        raise bad_request(f"Invalid 'limit': expected an integer of at least 1, but got {given!r}.", "limit")
    return min(int(given), maximum)


def _get_position(items: Sequence[dict[str, Any]], after: str | None) -> int:
    if after is None:
        return 0
    for position, item in enumerate(items, 1):
        if item["id"] == after:
            return position
    raise bad_request(f"Invalid 'after': no object with id {after!r} in this list.", "after")
