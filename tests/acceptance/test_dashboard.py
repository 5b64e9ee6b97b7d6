"""What people see on the dashboard, in a real browser."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from browser import ARTIFACTS, PageOpener, WatchedPage, find_accessibility_faults
from large_run import OUTLIERS, show_large_run
from playwright.async_api import Route, expect
from served_dashboard import NOW, TRAINING, ServedDashboard, job, standing, succeeded_job

from orchestrator.core.errors import Failure
from orchestrator.core.jobs.lifecycle import JobState

pytestmark = pytest.mark.asyncio(loop_scope="session")

ROWS = "tbody[id]"
DELIVERIES: list[dict[str, Any]] = [
    {"delivered_at": NOW - 390},
    {"delivered_at": NOW - 390, "target": "env:TEAM_CHAT"},
    {"topic": "account.held", "payload": {"data": {"account": "umbrella"}}, "due_at": NOW + 300, "attempts": 0},
    {"due_at": NOW + 260, "attempts": 3, "error": "503: no healthy upstream", "created_at": NOW - 900},
    {
        "topic": "run.finished",
        "payload": {"data": {"account": None}},
        "attempts": 8,
        "error": "no response within 10 seconds",
        "target": "https://hooks.example.com/a/very/long/address/that/does/not/fit/on/a/phone",
        "created_at": NOW - 90_000,
    },
    {"attempts": 8, "error": "404: <b>gone</b>", "created_at": NOW - 90_000},
]
CUT_FIGURES = """
    [...document.querySelectorAll(".figures td, .figures th, .gantt td.money")]
        .filter((cell) => cell.scrollWidth > cell.clientWidth + 1 || cell.getBoundingClientRect().right > innerWidth)
        .map((cell) => cell.textContent)
"""
PAGES = {
    "run": "/",
    "account": "/accounts/acme-eu",
    "plan": "/plan",
    "timeline": "/timeline",
    "costs": "/costs",
    "curves": "/curves",
    "comparison": "/comparison",
    "dataset": f"/datasets/{TRAINING.sha256}",
    "deployments": "/deployments",
    "deploy": "/deployments/confirm?verb=deploy&all=1&keep_hours=4",
    "runs": "/runs",
    "deliveries": "/deliveries",
    "help": "/help",
    "confirm": "/confirm?verb=cancel&all=1",
}


async def test_first_page_shows_progress_cost_and_problems(dashboard: ServedDashboard, watched: WatchedPage) -> None:
    page = watched.page
    await page.goto(dashboard.url)
    await expect(page).to_have_title("2/5 · support-tone")
    await expect(page.locator(".verdict")).to_have_text("1 account needs attention")
    await expect(page.locator(".score").first).to_contain_text("2 of 5 models ready")
    await expect(page.locator(".facts")).to_contain_text("$3.10")
    await expect(page.locator(".attention-item")).to_contain_text("You are not allowed to create fine-tuning jobs")
    await expect(page.locator(".attention-item .hint code")).to_have_text("orchestrator release")
    await expect(page.locator(ROWS)).to_have_count(5)
    await expect(page.locator("#account-globex progress")).to_have_attribute("value", "46")
    bar = await page.locator(".bar rect").evaluate_all("all => all.map(each => each.getBoundingClientRect().width)")
    whole = await page.locator(".bar").evaluate("bar => bar.getBoundingClientRect().width")
    assert sum(bar) == pytest.approx(whole, abs=2)


async def test_state_filter_is_kept_in_the_url(dashboard: ServedDashboard, watched: WatchedPage) -> None:
    page = watched.page
    await page.goto(dashboard.url)
    await page.locator("#chip-succeeded").click()
    await expect(page).to_have_url(f"{dashboard.url}/?state=succeeded")
    await expect(page.locator(ROWS)).to_have_count(2)
    await page.reload()
    await expect(page.locator("#chip-succeeded")).to_have_attribute("aria-current", "true")
    await page.go_back()
    await expect(page.locator(ROWS)).to_have_count(5)


async def test_search_filters_while_typing(dashboard: ServedDashboard, watched: WatchedPage) -> None:
    page = watched.page
    await page.goto(f"{dashboard.url}/?state=succeeded")
    await page.locator("#q").press_sequentially("ACME-U", delay=30)
    await expect(page.locator(ROWS)).to_have_count(1)
    await expect(page).to_have_url(f"{dashboard.url}/?state=succeeded&q=ACME-U")
    await expect(page.locator("#q")).to_be_focused()
    await page.locator("#q").fill("")
    await expect(page.locator(ROWS)).to_have_count(2)
    await expect(page).to_have_url(f"{dashboard.url}/?state=succeeded")


async def test_search_includes_text_typed_during_a_pending_request(
    dashboard: ServedDashboard, watched: WatchedPage
) -> None:
    page, asked, may_go = watched.page, asyncio.Event(), asyncio.Event()

    async def held_up(route: Route) -> None:
        asked.set()
        await may_go.wait()
        await route.continue_()

    await page.goto(f"{dashboard.url}/?state=succeeded")
    await page.route(re.compile(r"q=ACME-$"), held_up)
    await page.locator("#q").press_sequentially("ACME-", delay=10)
    await asked.wait()
    await page.locator("#q").press_sequentially("U")
    may_go.set()
    await expect(page.locator(ROWS)).to_have_count(1)
    await expect(page).to_have_url(f"{dashboard.url}/?state=succeeded&q=ACME-U")
    await expect(page.locator("#q")).to_have_value("ACME-U")


# The texts are recorded in an attribute, which a locator can wait for: page.wait_for_function evaluates a string in
# the page, and the content security policy of the page forbids that.
RECORD_TEXTS = """button => {
    button.dataset.texts = "";
    new MutationObserver(() => button.dataset.texts += ` ${button.textContent}`).observe(button, {childList: true});
}"""


@pytest.mark.parametrize("clipboard", [True, False], ids=["secure page", "plain http"])
async def test_a_model_id_is_copied(dashboard: ServedDashboard, watched: WatchedPage, clipboard: bool) -> None:
    page = watched.page
    await page.goto(dashboard.url)
    if not clipboard:
        await page.evaluate("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    button = page.get_by_role("button", name="Copy model id of acme-eu")
    await button.evaluate(RECORD_TEXTS)  # the button shows "Copied" for 1.5 s only
    await button.click()
    await expect(button).to_have_attribute("data-texts", re.compile(r"\bCopied\b"))
    await expect(page.locator("#toast")).to_have_text(re.compile("^Copied ft:sandbox-small"))
    await page.locator("#q").focus()
    await page.keyboard.press("Control+V")
    await expect(page.locator("#q")).to_have_value("ft:sandbox-small:acme-eu:support:CZk4QpX1")


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (1440, 900)])
async def test_table_of_300_accounts_begins_on_the_first_screen(
    opener: PageOpener, dashboard: ServedDashboard, width: int, height: int
) -> None:
    problems = [Failure(f"problem_{number}", "A long message. " * 30, "Resolve it.") for number in range(6)]
    jobs = [
        job(f"school-{number:03}", JobState.FAILED, failure=problems[number % 6], remote_job_id=f"ftjob-{number:024}")
        if number % 2
        else succeeded_job(f"school-{number:03}", "CZk4QpX1", f"8Kq2vWmZr0aXcT4nYb71{number}", warning=problems[0])
        for number in range(300)
    ]
    await dashboard.replace_run(jobs, [standing(each.account, "eu", "a-label-that-is-quite-long") for each in jobs])
    page = await opener.open(width, height)
    await page.goto(dashboard.url)
    first = await page.locator(ROWS).first.bounding_box()
    assert first is not None
    assert first["y"] + 3 * first["height"] < height
    heights = await page.locator(ROWS).evaluate_all("all => all.map(each => each.getBoundingClientRect().height)")
    assert max(heights) <= 36
    assert await page.evaluate("document.documentElement.scrollWidth") <= width


async def test_model_ids_of_the_filtered_accounts_are_exported(
    dashboard: ServedDashboard, watched: WatchedPage
) -> None:
    page = watched.page
    await page.goto(f"{dashboard.url}/?label=eu")
    await page.get_by_text("Export", exact=True).click()
    await expect(page.locator("#export-menu")).to_contain_text("2 matching accounts")
    assert await find_accessibility_faults(page) == []
    async with page.expect_download() as started:
        await page.locator("#export-csv").click()
    download = await started.value
    assert download.suggested_filename == "support-tone-models.csv"
    lines = (await download.path()).read_text(encoding="utf-8").splitlines()
    assert [line.partition(",")[0] for line in lines] == ["account", "acme-eu", "globex"]
    await page.keyboard.press("Escape")
    await expect(page.locator("#export-csv")).to_be_hidden()
    await expect(page.locator("#export-menu summary")).to_be_focused()


async def test_column_headings_sort_the_whole_run(dashboard: ServedDashboard, watched: WatchedPage) -> None:
    jobs = [job(f"a-{number:03}", JobState.READY, estimated_usd=1000.0 - number) for number in range(120)]
    await dashboard.replace_run(jobs)
    page = watched.page
    await page.goto(f"{dashboard.url}/?q=a-")
    await page.get_by_role("columnheader", name="Est. price").get_by_role("link").click()
    await expect(page).to_have_url(f"{dashboard.url}/?q=a-&sort=price")
    await expect(page.locator(ROWS).first).to_have_id("account-a-119")
    await page.locator("#sort-price").click()
    await expect(page.locator(ROWS).first).to_have_id("account-a-000")
    await expect(page.locator("th[aria-sort]")).to_have_attribute("aria-sort", "descending")
    await page.locator("#q").fill("a-1")
    await expect(page.locator(ROWS).first).to_have_id("account-a-100")
    await expect(page.locator("#match-count")).to_have_text("20 of 120")
    await page.locator("#filter-text").click()
    await expect(page).to_have_url(f"{dashboard.url}/?sort=-price")
    await expect(page.locator("#match-count")).to_have_text("120")


async def test_every_page_is_accessible_in_light_and_dark_mode(
    dashboard: ServedDashboard, watched: WatchedPage
) -> None:
    await dashboard.add_losses("acme-eu", "acme-us", "globex")
    await dashboard.add_deliveries(*DELIVERIES)
    await dashboard.add_events("acme-eu", "planned", "file uploaded", "remote job created", "remote succeeded")
    for name, path in PAGES.items():
        await watched.page.goto(dashboard.url + path)
        assert await find_accessibility_faults(watched.page) == [], name
    await watched.page.emulate_media(color_scheme="dark")
    for name in ("run", "account"):
        await watched.page.goto(dashboard.url + PAGES[name])
        assert await find_accessibility_faults(watched.page) == [], f"{name} by night"


@pytest.mark.parametrize(
    ("name", "scheme", "width"),
    [("light", "light", 1200), ("phone", "light", 390), ("phone-dark", "dark", 360)],
)
async def test_pages_fit_the_viewport_in_light_and_dark_mode(
    opener: PageOpener, dashboard: ServedDashboard, name: str, scheme: Any, width: int
) -> None:
    await dashboard.add_losses("acme-eu", "acme-us", "globex")
    await dashboard.add_deliveries(*DELIVERIES)
    page = await opener.open(width, 900, color_scheme=scheme)
    for title, path in PAGES.items():
        await page.goto(dashboard.url + path)
        brightness = await page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
        assert all(part < 60 if scheme == "dark" else part > 220 for part in brightness)
        assert await page.evaluate("document.documentElement.scrollWidth") <= width, title
        await page.screenshot(path=ARTIFACTS / f"dashboard-{title}-{name}.png", full_page=True)


async def test_pages_of_300_accounts_are_accessible_and_nothing_is_cut(
    opener: PageOpener, dashboard: ServedDashboard
) -> None:
    await show_large_run(dashboard)
    page = await opener.open()
    views: list[tuple[Any, int]] = [("light", 1280), ("dark", 1280), ("light", 390)]
    for scheme, width in views:
        await page.set_viewport_size({"width": width, "height": 900})
        await page.emulate_media(color_scheme=scheme)
        for title in ("run", "timeline", "costs", "curves"):
            view = f"{title} {scheme} {width}"
            await page.goto(dashboard.url + PAGES[title])
            assert await find_accessibility_faults(page) == [], view
            assert await page.evaluate("document.documentElement.scrollWidth") <= width, view
            assert await page.evaluate(CUT_FIGURES) == [], view
            await page.screenshot(path=ARTIFACTS / f"dashboard-{title}-300-{scheme}-{width}.png")


async def test_page_is_usable_with_the_keyboard_alone(dashboard: ServedDashboard, watched: WatchedPage) -> None:
    page = watched.page
    await page.goto(f"{dashboard.url}/?q=acme-eu")
    await page.keyboard.press("Tab")
    await expect(page.locator(".skip")).to_be_focused()
    await page.keyboard.press("Enter")
    for at in ("#label", "#q"):
        await page.keyboard.press("Tab")
        await expect(page.locator(at)).to_be_focused()
    for _ in range(15):  # the export, all, the filter, show all, two ticks, seven headings, the account, the button
        await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await expect(page.locator("#copy-model-acme-eu")).to_have_text("Copied")


async def test_keyboard_shortcuts_move_and_search_but_not_while_typing(
    dashboard: ServedDashboard, watched: WatchedPage
) -> None:
    page = watched.page
    await page.goto(dashboard.url)
    for key, account in (("j", "acme-eu"), ("j", "acme-us"), ("k", "acme-eu"), ("k", "acme-eu")):
        await page.keyboard.press(key)
        await expect(page.locator(f"#account-{account} th a")).to_be_focused()
    await page.keyboard.press("x")
    await expect(page.locator("#select-acme-eu")).to_be_checked()
    await page.keyboard.press("/")
    await expect(page.locator("#q")).to_be_focused()
    await page.keyboard.type("j?/x")
    await expect(page.locator("#q")).to_have_value("j?/x")
    await expect(page.locator("#help-dialog")).to_be_hidden()
    await page.locator("#accounts").focus()
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    assert await find_accessibility_faults(page) == []
    await page.keyboard.press("Escape")
    await expect(page.locator("#help-dialog")).to_be_hidden()


async def test_chosen_theme_is_kept_and_applied_before_the_page_is_drawn(
    dashboard: ServedDashboard, watched: WatchedPage
) -> None:
    page, background = watched.page, "getComputedStyle(document.body).backgroundColor"
    await page.emulate_media(color_scheme="light")
    await page.goto(dashboard.url)
    light = await page.evaluate(background)
    await page.get_by_label("Theme").select_option("dark")
    dark = await page.evaluate(background)
    assert dark != light
    await page.route("**/dashboard.js*", lambda route: route.abort())  # the theme must not wait for the other scripts
    await page.goto(f"{dashboard.url}/plan", wait_until="commit")
    await expect(page.locator("body")).to_be_attached()
    assert await page.evaluate("document.documentElement.dataset.theme") == "dark"
    await expect(page.get_by_label("Theme")).to_have_value("dark")
    assert await page.evaluate(background) == dark
    assert await find_accessibility_faults(page) == []
    await page.unroute("**/dashboard.js*")
    watched.errors.clear()  # the browser reports the script that the test withheld
    await page.get_by_label("Theme").select_option("auto")
    assert await page.evaluate(background) == light
    assert await page.evaluate("localStorage.getItem('theme')") is None


async def test_loss_curves_are_drawn_and_labelled(dashboard: ServedDashboard, watched: WatchedPage) -> None:
    await dashboard.add_losses("acme-eu", "acme-us", "globex")
    await dashboard.add_deliveries(*DELIVERIES)
    page = watched.page
    await page.goto(f"{dashboard.url}/curves")
    await expect(page.locator("#chart canvas")).to_have_count(1)
    await expect(page.locator("#chart")).to_have_attribute("aria-label", "Loss by step, 3 accounts")
    await expect(page.locator(".u-legend")).to_contain_text("acme-us validation")
    await page.locator("#q").fill("acme-us")
    await expect(page.locator("#chart")).to_have_attribute("aria-label", "Loss by step, 1 account")
    await expect(page.locator("#chart canvas")).to_have_count(1)
    await page.get_by_role("link", name="acme-us").click()
    await expect(page.locator("#chart canvas")).to_have_count(1)
    await expect(page.locator(".u-legend")).to_contain_text("validation")


async def test_curves_of_300_accounts_are_a_band_with_named_outliers(
    dashboard: ServedDashboard, watched: WatchedPage
) -> None:
    await show_large_run(dashboard)
    page = watched.page
    await page.goto(f"{dashboard.url}/curves")
    await expect(page.locator("#chart")).to_have_attribute("aria-label", re.compile("median, band and 2 outliers"))
    for account in OUTLIERS:
        await expect(page.locator("#outliers")).to_contain_text(account)
        await expect(page.locator(".u-legend")).to_contain_text(account)
    await expect(page.locator("#step-120 th")).to_have_text("120")
    assert await find_accessibility_faults(page) == []
    await page.locator("#q").fill(OUTLIERS[0])
    await expect(page.locator("#chart")).to_have_attribute("aria-label", "Loss by step, 1 account")
    await expect(page.locator(".u-legend")).to_contain_text("validation")


async def test_ten_thousand_accounts_are_paged_and_searched(dashboard: ServedDashboard, watched: WatchedPage) -> None:
    await dashboard.replace_run([job(f"account-{number:05}", JobState.QUEUED) for number in range(10_000)])
    page = watched.page
    await page.goto(dashboard.url)
    await expect(page.locator(ROWS)).to_have_count(50)
    await page.get_by_role("link", name="Next").click()
    await expect(page.locator(".pager")).to_contain_text("51–100 of 10,000")
    await page.locator("#q").fill("-0999")
    await expect(page.locator(ROWS)).to_have_count(10)
    await expect(page.locator(".pager")).to_have_count(0)
