"""Lists in pages: `after` is the id of the last one seen, `has_more` tells whether to go on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.sandbox.answer import invalid


def page(items: Sequence[dict[str, Any]], query: Mapping[str, str], *, usual: int, most: int) -> dict[str, Any]:
    """One page of items, which are in the order they are listed in. Raises Refusal (400)."""
    limit = _limit(query.get("limit"), usual, most)
    begin = _position(items, query.get("after"))
    data = list(items[begin : begin + limit])
    return {"object": "list", "data": data, "has_more": begin + limit < len(items)}


def with_ends(answer: dict[str, Any], *, empty: str | None) -> dict[str, Any]:
    """The page with the ids of its first and last item; `empty` stands for them when there is none."""
    data = answer["data"]
    first, last = (data[0]["id"], data[-1]["id"]) if data else (empty, empty)
    return answer | {"first_id": first, "last_id": last}


def _limit(given: str | None, usual: int, most: int) -> int:
    if given is None:
        return usual
    if not given.isdecimal() or int(given) < 1:
        raise invalid(f"Invalid 'limit': expected an integer of at least 1, but got {given!r}.", "limit")
    return min(int(given), most)


def _position(items: Sequence[dict[str, Any]], after: str | None) -> int:
    if after is None:
        return 0
    for position, item in enumerate(items, 1):
        if item["id"] == after:
            return position
    raise invalid(f"Invalid 'after': no object with id {after!r} in this list.", "after")
