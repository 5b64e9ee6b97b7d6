"""The pages of a dataset of 10,000 examples in a real browser: chats, search, histograms and differences."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe
from browsed_dataset import ATTACKS, build_chats, write_dataset
from browser import ARTIFACTS, PageOpener, WatchedPage
from playwright.async_api import Page, expect
from served_dashboard import ServedDashboard

from orchestrator.core.dataset import Dataset

pytestmark = pytest.mark.asyncio(loop_scope="session")

EXAMPLES = ".example"
EARLIER = {"role": "assistant", "content": "An earlier answer <b>of the team</b>."}


class BrowsedPages:
    """The addresses of the pages of two datasets, of which the second one is newer."""

    def __init__(self, url: str, old: Dataset, new: Dataset) -> None:
        self.dataset = f"{url}/datasets/{new.training.sha256}"
        self.difference = f"{self.dataset}/difference?with={old.training.sha256}"

    def list_all(self) -> dict[str, str]:
        return {
            "examples": self.dataset,
            "search": f"{self.dataset}?q=Gr%C3%B6%C3%9Fe&finding=email-address",
            "nothing": f"{self.dataset}?q=in-no-chat",
            "changed": self.difference,
            "added": f"{self.difference}&kind=added",
        }


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def datasets(served: ServedDashboard) -> tuple[Dataset, Dataset]:
    """10,000 examples; in the older dataset 100 are missing, and every 400th has another answer."""
    chats = list(build_chats(10_000))
    older = [
        {"messages": [*chat["messages"][:-1], EARLIER]} if number % 400 == 0 else chat
        for number, chat in enumerate(chats)
        if not 3000 <= number < 3100
    ]
    return await asyncio.to_thread(
        lambda: (
            write_dataset(served.datasets, iter(older), "sandbox-small"),
            write_dataset(served.datasets, iter(chats), "sandbox-small"),
        )
    )


@pytest_asyncio.fixture(loop_scope="session")
async def pages(dashboard: ServedDashboard, datasets: tuple[Dataset, Dataset]) -> BrowsedPages:
    for number, dataset in enumerate(datasets):
        await dashboard.add_dataset(dataset, number)
    return BrowsedPages(dashboard.url, *datasets)


async def test_chats_have_their_tools_and_pictures(pages: BrowsedPages, watched: WatchedPage) -> None:
    page = watched.page
    await page.goto(pages.dataset)
    await expect(page.locator(EXAMPLES)).to_have_count(10)
    first = page.locator(EXAMPLES).first
    await expect(first).to_contain_text("Call of find_order")
    await expect(first.locator(".message.tool")).to_contain_text("shipped")
    await first.get_by_text("Tool find_order").click()
    await expect(first.locator("details .said")).to_contain_text('"properties"')
    picture = page.get_by_role("img", name="Picture 1 of example 2")
    await picture.scroll_into_view_if_needed()
    await expect(picture).to_have_js_property("naturalWidth", 320)
    await expect(page.locator(EXAMPLES).nth(1)).to_contain_text("https://tracker.example/pixel.png")


async def test_content_of_a_chat_is_never_html(pages: BrowsedPages, watched: WatchedPage) -> None:
    page = watched.page
    hostile = [pages.dataset, pages.difference, f"{pages.dataset}?q=%3Cscript%3E", f"{pages.dataset}?finding=%3Cb%3E"]
    for address in hostile:
        await page.goto(address)
        await expect(page.locator("#live")).to_be_visible()
        assert await page.evaluate("window.attacked") is None, address
        assert await page.locator(".example :is(script, iframe, svg, b, style, [onerror])").count() == 0, address
    await page.goto(pages.dataset)
    shown = await page.locator(".message.user .said").all_text_contents()
    assert [text for text in shown if text in ATTACKS] == list(ATTACKS)
    await page.goto(f"{pages.dataset}?q=%3Cscript%3E")
    await expect(page.locator(".said mark").first).to_have_text("<script>")


async def test_search_and_finding_narrow_ten_thousand_examples(pages: BrowsedPages, watched: WatchedPage) -> None:
    page = watched.page
    await page.goto(pages.dataset)
    await expect(page.locator("#examples-title")).to_have_text("Examples 10,000")
    await page.locator("#q").press_sequentially("1009999", delay=20)
    await expect(page.locator("#examples-title")).to_have_text("Examples 1 of 10,000")
    await expect(page.locator("#q")).to_be_focused()
    await expect(page.locator(".said mark").first).to_have_text("1009999")
    await expect(page).to_have_url(re.compile(r"q=1009999"))
    await page.locator("#filter-q").click()
    await expect(page.locator(EXAMPLES)).to_have_count(10)
    await page.locator("#finding").select_option("email-address")
    await expect(page.locator("#examples-title")).to_have_text(re.compile(r"Examples 1,\d{3} of 10,000"))
    await expect(page.locator(".example .pill", has_text="email-address")).to_have_count(10)
    await page.get_by_role("link", name="Next").click()
    await expect(page.locator(".pager")).to_contain_text("11–20 of 1,")


async def test_folded_text_stays_open_while_the_page_updates(pages: BrowsedPages, watched: WatchedPage) -> None:
    page = watched.page
    await page.goto(pages.dataset)
    fold = page.locator("details.fold", has_text="Show the rest").first
    await fold.locator("summary").click()
    await expect(fold).to_have_attribute("open", "")
    async with page.expect_response(lambda answer: "/datasets/" in answer.url):
        await page.evaluate("htmx.trigger('#live', 'refresh')")
    await expect(fold).to_have_attribute("open", "")


async def test_histograms_have_axes_and_numbers(pages: BrowsedPages, watched: WatchedPage) -> None:
    page = watched.page
    await page.goto(pages.dataset)
    for title in ("Tokens per example", "Cost by length", "Turns per example"):
        card = page.get_by_role("region", name=title)
        assert await card.locator(".histogram rect").count() > 5, title
        assert await card.locator(".y-axis span").count() == 3, title
        assert await card.locator(".x-axis text").count() > 3, title
        await card.locator("summary").click()
        assert await card.locator("tbody tr").count() > 5, title
    await expect(page.get_by_role("region", name="Cost by length")).to_contain_text("$48.50")


async def test_difference_marks_the_changed_words(pages: BrowsedPages, watched: WatchedPage) -> None:
    page = watched.page
    await page.goto(f"{pages.dataset}/difference")
    await expect(page.locator("#chip-changed")).to_have_text("Changed 25")
    await expect(page.locator("#chip-added")).to_have_text("Added 100")
    await expect(page.locator(".pair").nth(1).locator("del")).to_contain_text("An earlier answer <b>of the team</b>")
    await expect(page.locator(".pair").nth(1).locator("b")).to_have_count(0)
    await expect(page.locator(".pair").nth(1).locator("ins")).not_to_have_count(0)
    await expect(page.locator(".pair").nth(1)).to_contain_text("unchanged message")
    await page.locator("#chip-added").click()
    await expect(page.locator(".pager")).to_contain_text("1–10 of 100")


@pytest.mark.parametrize(
    ("name", "scheme", "width"), [("light", "light", 1200), ("dark", "dark", 1200), ("phone", "light", 390)]
)
async def test_pages_are_accessible_and_fit_the_viewport(
    opener: PageOpener, pages: BrowsedPages, name: str, scheme: Any, width: int
) -> None:
    page = await opener.open(width, 900, color_scheme=scheme)
    for title, address in pages.list_all().items():
        await page.goto(address)
        assert await page.evaluate("document.documentElement.scrollWidth") <= width, title
        assert await find_violations(page) == [], title
        await page.screenshot(path=ARTIFACTS / f"dataset-{title}-{name}.png", full_page=True)


async def find_violations(page: Page) -> list[str]:
    """What axe-core reports, whatever its impact."""
    found = (await Axe().run(page)).response["violations"]
    return [f"{each['id']}: {node['target']}" for each in found for node in each["nodes"]]
