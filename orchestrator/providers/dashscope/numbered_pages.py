"""Reads a list whose pages have numbers, completely, while it changes.

An item that is added or deleted shifts all later ones to another page. An addition shows some items twice; a deletion
hides one, which could be ours: its job would be created, and paid for, again. So a pass over the pages counts only if
nothing shifted, and otherwise another one follows.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, Generic, Protocol, TypeVar

from orchestrator.providers.http.response_decoder import ListLimits, MalformedResponse

PAGE_SIZE: Final = 100
MAX_PASSES: Final = 5

Item = TypeVar("Item")


class NumberedPage(Protocol[Item]):
    """One page. `total` is the length of the list, `page_size` the server's own; None: not reported."""

    @property
    def items(self) -> list[tuple[str, Item]]:
        """The items with their ids."""

    @property
    def page_size(self) -> int | None: ...

    @property
    def total(self) -> int | None: ...


ReadPage = Callable[[int, ListLimits], Awaitable[NumberedPage[Item]]]
"""Reads the page with this number, from 1, of PAGE_SIZE items, and counts its bytes."""


class NumberedPageReader(Generic[Item]):
    """Reads one list."""

    def __init__(self, path: str, read_page: ReadPage[Item], clock: Callable[[], float]) -> None:
        self._path = path
        self._read_page = read_page
        self._clock = clock
        self._items: dict[str, Item] = {}  # of all passes, each in its latest version

    async def read(self) -> list[Item]:
        """Return every item once. Raises MalformedResponse for a list that repeats itself or never stays the same."""
        before: set[str] | None = None
        for _ in range(MAX_PASSES):
            ids, is_consistent = await self._read_pass()
            if is_consistent or ids == before:
                return list(self._items.values())
            before = ids
        raise MalformedResponse(f"the provider's list {self._path} changed each time it was read")

    async def _read_pass(self) -> tuple[set[str], bool]:
        """Read all pages once. Return the ids, and whether the list certainly did not change meanwhile."""
        limits = ListLimits(self._path, self._clock)
        ids: list[str] = []
        totals: set[int | None] = set()
        number = 1
        while True:
            page = await self._read_page(number, limits)
            items = page.items
            self._items.update(items)
            ids += [identity for identity, _ in items]
            totals.add(page.total)
            if not items or (page.total is not None and number * (page.page_size or PAGE_SIZE) >= page.total):
                break
            # Two pages with the same items: the server does not know the number, and would repeat the page for ever.
            limits.count_page(len(items), f"{items[0][0]} to {items[-1][0]}")
            number += 1
        distinct = set(ids)
        # One page is one moment. Several are one if the length stayed the same and no item was on two pages.
        return distinct, number == 1 or (totals == {len(ids)} and len(distinct) == len(ids))
