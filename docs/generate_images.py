"""Takes the pictures of docs/images/ from the dashboard itself: `make images`.

It serves a run of 300 accounts from a database in a temporary folder, with the helpers of the acceptance tests, and
opens the pages in the Chromium that these tests use. Take new pictures after a visible change of the pages.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

TESTS = Path(__file__).parents[1] / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "acceptance" / "helpers")]

from browser import chromium, open_page  # noqa: E402 - found by the path above
from large_run import show_large_run  # noqa: E402
from playwright.async_api import Page, expect  # noqa: E402
from served_dashboard import ServedDashboard  # noqa: E402

FOLDER = Path(__file__).with_name("images")
SIZE = {"width": 1280, "height": 860}


async def main() -> None:
    """Write all pictures."""
    with tempfile.TemporaryDirectory() as folder:
        async with ServedDashboard(Path(folder)) as dashboard, chromium() as browser:
            await show_large_run(dashboard)
            page = await open_page(browser, color_scheme="light", viewport=SIZE)
            await page.goto(dashboard.url)
            await save(page, "dashboard")
            await page.get_by_role("link", name="Retry all").first.click()
            await expect(page.locator("#yes")).to_be_visible()
            await save(page, "dashboard-retry")
            await page.goto(f"{dashboard.url}/curves")
            await expect(page.locator("#chart canvas")).to_have_count(1)
            await save(page, "dashboard-curves")
            await page.goto(f"{dashboard.url}/timeline")
            await save(page, "dashboard-timeline")
            await page.context.close()


async def save(page: Page, name: str) -> None:
    """Save what the window shows."""
    await page.screenshot(path=FOLDER / f"{name}.png")


if __name__ == "__main__":
    asyncio.run(main())
