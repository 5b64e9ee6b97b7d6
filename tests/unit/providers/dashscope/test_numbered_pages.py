"""A list with numbered pages is read completely although it changes while it is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from orchestrator.providers.dashscope.numbered_pages import MAX_PASSES, NumberedPageReader
from orchestrator.providers.http.response_decoder import ListLimits, MalformedResponse

SIZE = 2


@dataclass
class Page:
    items: list[tuple[str, str]]
    total: int | None
    page_size: int | None = SIZE


@dataclass
class ChangingList:
    """A list of the newest first; `change` is called after each page with the number of pages read so far."""

    names: list[str]
    change: Callable[[ChangingList], None] = lambda _: None
    shows_total: bool = True
    pages_read: int = 0
    numbers: list[int] = field(default_factory=list)

    async def read_page(self, number: int, limits: ListLimits) -> Page:
        shown = self.names[(number - 1) * SIZE : number * SIZE]
        page = Page([(name, name.upper()) for name in shown], len(self.names) if self.shows_total else None)
        self.numbers.append(number)
        self.pages_read += 1
        self.change(self)
        return page

    async def read(self) -> list[str]:
        return sorted(await NumberedPageReader("/jobs", self.read_page, lambda: 0.0).read())


@pytest.mark.parametrize("shows_total", [True, False])
@pytest.mark.parametrize("names", [[], ["a"], ["a", "b"], ["a", "b", "c"], list("abcdef")])
async def test_quiet_list_is_read_whole(names: list[str], *, shows_total: bool) -> None:
    jobs = ChangingList(names, shows_total=shows_total)
    assert await jobs.read() == [name.upper() for name in names]


async def test_quiet_list_is_read_once() -> None:
    jobs = ChangingList(list("abcde"))
    await jobs.read()
    assert jobs.numbers == [1, 2, 3]


async def test_items_that_appear_meanwhile_are_neither_repeated_nor_hiding_others() -> None:
    def add(jobs: ChangingList) -> None:
        if jobs.pages_read <= 2:
            jobs.names.insert(0, f"n{jobs.pages_read}")

    assert await ChangingList(list("abcdef"), add).read() == ["A", "B", "C", "D", "E", "F", "N1", "N2"]


@pytest.mark.parametrize("shows_total", [True, False])
async def test_item_that_a_deletion_moved_to_a_page_before_is_found(*, shows_total: bool) -> None:
    def delete(jobs: ChangingList) -> None:
        if jobs.pages_read == 1:
            jobs.names.remove("a")

    jobs = ChangingList(list("abcdef"), delete, shows_total=shows_total)
    assert set(await jobs.read()) == set("ABCDEF")
    assert jobs.numbers.count(1) > 1


async def test_server_that_ignores_the_number_is_an_error() -> None:
    async def read_page(number: int, limits: ListLimits) -> Page:
        return Page([("a", "A"), ("b", "B")], 1000)

    with pytest.raises(MalformedResponse, match="repeats itself"):
        await NumberedPageReader("/jobs", read_page, lambda: 0.0).read()


async def test_list_that_never_stays_the_same_is_an_error() -> None:
    def replace(jobs: ChangingList) -> None:
        jobs.names.pop(0)
        jobs.names.append(f"n{jobs.pages_read}")
        jobs.names.append(f"m{jobs.pages_read}")

    jobs = ChangingList(list("abcdef"), replace)
    with pytest.raises(MalformedResponse, match="changed each time"):
        await jobs.read()
    assert jobs.numbers.count(1) == MAX_PASSES


async def test_page_size_of_the_server_decides_where_the_list_ends() -> None:
    """A server with smaller pages than requested."""
    jobs = ChangingList(list("abcde"))

    async def read_page(number: int, limits: ListLimits) -> Page:
        page = await jobs.read_page(number, limits)
        page.page_size = None if number > 3 else SIZE
        return page

    found = await NumberedPageReader("/jobs", read_page, lambda: 0.0).read()
    assert sorted(found) == list("ABCDE")
