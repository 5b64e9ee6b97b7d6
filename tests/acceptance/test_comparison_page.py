"""What people see of a comparison: verdicts, heat map and answers, in a real browser."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from browser import ARTIFACTS, PageOpener, WatchedPage, find_accessibility_faults
from compared_run import ComparedRun, create_compared_run
from comparison_worlds import World
from playwright.async_api import expect
from served_dashboard import ServedDashboard

from orchestrator.core.comparison.answer import AnswerOutcome
from orchestrator.core.comparison.comparison import ComparisonState

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.xdist_group("dashboard")]

WORLD = World(seed=5, accounts=7, probes=40)
HOSTILE = "<script>document.title = 'taken'</script><img src=x onerror=alert(1)> & done"
VIEWS: list[tuple[Any, int]] = [("light", 1280), ("dark", 1280), ("light", 390)]


@pytest.fixture(scope="module")
def compared() -> ComparedRun:
    outliers = (replace(WORLD, refused=0.6), replace(WORLD, added_prompt_tokens=9))
    return create_compared_run(WORLD, *outliers)


async def test_verdict_reason_and_probe_lead_to_the_answers(
    dashboard: ServedDashboard, watched: WatchedPage, opener: PageOpener, compared: ComparedRun, tmp_path: Path
) -> None:
    await dashboard.show_comparison(compared)
    page = watched.page
    await page.goto(f"{dashboard.url}/comparison")
    await expect(page.locator("#summary")).to_contain_text("outlier-1 refuses")
    await expect(page.locator("#verdict-outlier-1")).to_have_attribute("open", "")
    await expect(page.locator("#verdict-outlier-2 summary")).to_contain_text("counts other prompt tokens")
    await page.locator("#chip-different").click()
    await expect(page.locator(".account-card")).to_have_count(1)
    await page.locator("#probe-outlier-1-1").click()
    await expect(page.locator(".answer.selected")).to_contain_text("I cannot help with that.")
    await expect(page.locator(".answer.selected .pill")).to_have_text("refused")
    await expect(page.locator(".answer.common")).to_contain_text("most common answer")
    await page.get_by_role("link", name="Answers", exact=True).click()
    await expect(page.locator(".probe-table tbody")).to_have_count(40)
    await page.get_by_role("link", name="Comparison of support-tone").click()
    async with page.expect_download() as started:
        await page.locator("#report").click()
    download = await started.value
    assert download.suggested_filename.startswith("comparison-support-tone-c0ffee00")
    await download.save_as(tmp_path / "report.html")
    report = await opener.open()
    await report.goto((tmp_path / "report.html").as_uri())
    await expect(report.locator("#comparison")).to_contain_text("Are the models alike?")
    assert await find_accessibility_faults(report) == []
    assert watched.errors == []


async def test_heat_map_is_read_with_pointer_and_keyboard(
    dashboard: ServedDashboard, watched: WatchedPage, compared: ComparedRun
) -> None:
    await dashboard.show_comparison(compared)
    page = watched.page
    await page.goto(f"{dashboard.url}/comparison")
    cells, named = page.locator(".heat-cells"), page.locator(".heat-cell")
    rows = await page.locator(".heat-layout tbody th").all_text_contents()
    assert rows[0] == "outlier-1"
    await cells.focus()
    for _ in range(len(rows)):
        await page.keyboard.press("ArrowDown")
    await expect(named).to_contain_text("outlier-1 and account-")
    largest = max(each["distance"] for each in compared.document["distances"])
    assert float((await named.text_content() or "").rpartition(" ")[2]) <= largest + 0.01
    box = await page.locator(".heat-map").bounding_box()
    assert box is not None
    await page.mouse.move(box["x"] + box["width"] - 3, box["y"] + box["height"] - 3)
    await expect(named).to_have_text("outlier-1")
    assert watched.errors == []


async def test_text_of_an_answer_is_never_markup(dashboard: ServedDashboard, watched: WatchedPage) -> None:
    run = create_compared_run(World(seed=5, accounts=2, probes=30))
    probe_id = run.comparison.probe_ids[0]
    answers = [
        replace(each, text=HOSTILE, text_sha256="ff") if each.probe_id == probe_id else each for each in run.answers
    ]
    await dashboard.show_comparison(replace(run, answers=answers))
    page = watched.page
    await page.goto(f"{dashboard.url}/comparison/answers?probe={probe_id}")
    await expect(page.locator(".answer.common .said")).to_have_text(HOSTILE)
    await expect(page).to_have_title("Answers · orchestrator")
    assert watched.errors == []


async def test_comparison_in_progress_shows_answers_and_cost(
    dashboard: ServedDashboard, watched: WatchedPage, compared: ComparedRun
) -> None:
    half = [each for each in compared.answers if each.round == 1]
    asking = replace(compared.comparison, state=ComparisonState.ASKING)
    await dashboard.show_comparison(replace(compared, comparison=asking, answers=half))
    page = watched.page
    await page.goto(f"{dashboard.url}/comparison")
    await expect(page.locator("#asking")).to_contain_text("400 of 760 answers, 52%")
    await expect(page.locator("#asking")).to_contain_text("$0.43 of at most $5.00")
    await expect(page.locator(".account-card")).to_have_count(0)


async def test_pages_of_ten_and_a_hundred_accounts_are_accessible_and_fit(
    opener: PageOpener, dashboard: ServedDashboard, compared: ComparedRun
) -> None:
    large = create_compared_run(
        World(seed=7, accounts=99, probes=8), World(seed=7, accounts=2, probes=8, refused=1.0)
    )
    page = await opener.open()
    for size, run in (("10", compared), ("100", large)):
        await dashboard.show_comparison(run)
        probe = next(each.probe_id for each in run.answers if each.outcome is AnswerOutcome.REFUSED_TEXT)
        for scheme, width in VIEWS:
            await page.set_viewport_size({"width": width, "height": 900})
            await page.emulate_media(color_scheme=scheme)
            for title, path in {
                "comparison": "/comparison",
                "probes": "/comparison/answers",
                "answers": f"/comparison/answers?probe={probe}&account=outlier-1",
            }.items():
                view = f"{title}-{size}-{scheme}-{width}"
                await page.goto(dashboard.url + path)
                assert await page.evaluate("document.documentElement.scrollWidth") <= width, view
                if size == "10" or title == "comparison":
                    assert await find_accessibility_faults(page) == [], view
                await page.screenshot(path=ARTIFACTS / f"dashboard-{view}.png", full_page=True)
