"""What people do with the dashboard, in a real browser. One browser and one served site for all of it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from browser import ARTIFACTS, Watched, chromium
from playwright.async_api import Browser, expect
from served import FIVE_STANDINGS, Dashboard, five_jobs, job, token

from orchestrator.core.lifecycle import State

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOKEN = "operator-token"
ROWS = "tbody[id]"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as browser:
        yield browser


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Dashboard]:
    async with Dashboard(tmp_path_factory.mktemp("dashboard")) as dashboard:
        yield dashboard


@pytest_asyncio.fixture(loop_scope="module")
async def dashboard(site: Dashboard) -> Dashboard:
    """Five accounts on their way."""
    await site.fill(five_jobs(), FIVE_STANDINGS)
    return site


@pytest_asyncio.fixture(loop_scope="module")
async def watched(browser: Browser) -> AsyncIterator[Watched]:
    """A page on which nothing may go wrong, and which may speak to this machine only."""
    context = await browser.new_context(viewport={"width": 1200, "height": 900})
    await context.grant_permissions(["clipboard-read", "clipboard-write"])
    watched = Watched(await context.new_page())
    yield watched
    assert watched.wrong == []
    assert watched.hosts == {"127.0.0.1"}
    await context.close()


async def test_first_open_answers_at_a_glance(dashboard: Dashboard, watched: Watched) -> None:
    page = watched.page
    await page.goto(dashboard.url)
    await expect(page).to_have_title("2/5 · support-tone")
    await expect(page.locator(".verdict")).to_have_text("1 account needs you")
    await expect(page.locator(".score").first).to_contain_text("2 of 5 models ready")
    await expect(page.locator(".facts")).to_contain_text("$3.10")
    await expect(page.locator(".trouble")).to_contain_text("You are not allowed to create fine-tuning jobs")
    await expect(page.locator(".trouble .hint code")).to_have_text("orchestrator release")
    await expect(page.locator(ROWS)).to_have_count(5)
    await expect(page.locator("#account-globex progress")).to_have_attribute("value", "46")
    bar = await page.locator(".bar rect").evaluate_all("all => all.map(each => each.getBoundingClientRect().width)")
    whole = await page.locator(".bar").evaluate("bar => bar.getBoundingClientRect().width")
    assert sum(bar) == pytest.approx(whole, abs=2)


@pytest.mark.parametrize(
    ("name", "scheme", "width"),
    [("light", "light", 1200), ("dark", "dark", 1200), ("phone", "light", 390), ("phone-dark", "dark", 360)],
)
async def test_it_looks_right(browser: Browser, dashboard: Dashboard, name: str, scheme: str, width: int) -> None:
    dark = scheme == "dark"
    page = await browser.new_page(color_scheme="dark" if dark else "light", viewport={"width": width, "height": 900})
    await page.goto(dashboard.url)
    brightness = await page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert all(part < 60 if dark else part > 220 for part in brightness)
    assert await page.evaluate("document.documentElement.scrollWidth") <= width
    small = "all => all.filter(each => each.getBoundingClientRect().height < 18).length"
    assert await page.locator("a.chip, button.copy").evaluate_all(small) == 0
    await page.screenshot(path=ARTIFACTS / f"dashboard-{name}.png", full_page=True)


async def test_a_state_filters_and_lives_in_the_address(dashboard: Dashboard, watched: Watched) -> None:
    page = watched.page
    await page.goto(dashboard.url)
    await page.locator("#chip-succeeded").click()
    await expect(page).to_have_url(f"{dashboard.url}/?state=succeeded")
    await expect(page.locator(ROWS)).to_have_count(2)
    await page.reload()
    await expect(page.locator("#chip-succeeded")).to_have_attribute("aria-current", "true")
    await page.go_back()
    await expect(page.locator(ROWS)).to_have_count(5)


async def test_a_text_filters_while_it_is_typed(dashboard: Dashboard, watched: Watched) -> None:
    page = watched.page
    await page.goto(f"{dashboard.url}/?state=succeeded")
    await page.locator("#q").press_sequentially("ACME-U", delay=30)
    await expect(page.locator(ROWS)).to_have_count(1)
    await expect(page).to_have_url(f"{dashboard.url}/?state=succeeded&q=ACME-U")
    await expect(page.locator("#q")).to_be_focused()
    await page.locator("#q").fill("")
    await expect(page.locator(ROWS)).to_have_count(2)
    await expect(page).to_have_url(f"{dashboard.url}/?state=succeeded")


async def test_a_change_is_seen_without_a_reload(dashboard: Dashboard, watched: Watched) -> None:
    page = watched.page
    await page.goto(dashboard.url)
    await page.locator("#q").fill("e")
    await expect(page).to_have_url(f"{dashboard.url}/?q=e")
    row = await page.locator("#account-globex").element_handle()
    await dashboard.change("globex", state=State.SUCCEEDED, fine_tuned_model="ft:new")
    await expect(page).to_have_title("3/5 · support-tone")
    await expect(page.locator("#account-globex .pill")).to_have_text("succeeded")
    await expect(page.locator("#account-globex")).to_contain_text("ft:new")
    assert row is not None
    assert await row.evaluate("row => row.isConnected")
    assert await page.locator("#q").input_value() == "e"


async def test_nothing_new_is_not_sent_and_not_swapped(dashboard: Dashboard, watched: Watched) -> None:
    page = watched.page
    await page.goto(dashboard.url)
    await page.evaluate(
        """() => {
            window.changes = 0;
            new MutationObserver(() => { window.changes += 1; })
                .observe(document.querySelector("#live"), {childList: true, subtree: true, characterData: true});
        }"""
    )
    async with page.expect_response(lambda answer: answer.status == 304):
        pass
    async with page.expect_response(lambda answer: answer.status == 304):
        pass
    assert watched.polls(200) == 1
    assert await page.evaluate("window.changes") == 0


async def test_a_hidden_tab_does_not_ask(dashboard: Dashboard, watched: Watched) -> None:
    page = watched.page
    await page.goto(dashboard.url)
    async with page.expect_response(lambda answer: answer.status == 304):
        pass
    hide = "hidden => Object.defineProperty(document, 'hidden', {get: () => hidden, configurable: true})"
    await page.evaluate(hide, True)
    before = len(watched.answers)
    await asyncio.sleep(2.5)
    assert len(watched.answers) == before
    await page.evaluate(hide, False)
    async with page.expect_response(lambda answer: answer.status == 304, timeout=1000):
        await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


@pytest.mark.parametrize("clipboard", [True, False], ids=["secure page", "plain http"])
async def test_a_model_id_is_copied(dashboard: Dashboard, watched: Watched, clipboard: bool) -> None:
    page = watched.page
    await page.goto(dashboard.url)
    if not clipboard:
        await page.evaluate("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    button = page.get_by_role("button", name="Copy model id of acme-eu")
    await button.click()
    await expect(button).to_have_text("Copied")
    await expect(page.locator("#said")).to_have_text(re.compile("^Copied ft:gpt-4.1-mini"))
    await page.locator("#q").focus()
    await page.keyboard.press("Control+V")
    await expect(page.locator("#q")).to_have_value("ft:gpt-4.1-mini-2025-04-14:acme-eu:support:CZk4QpX1")


async def test_a_keyboard_is_enough(dashboard: Dashboard, watched: Watched) -> None:
    page = watched.page
    await page.goto(dashboard.url)
    await page.keyboard.press("Tab")
    await expect(page.locator(".skip")).to_be_focused()
    await page.keyboard.press("Enter")
    await page.keyboard.press("Tab")
    await expect(page.locator("#q")).to_be_focused()
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await expect(page.locator("#copy-model-acme-eu")).to_have_text("Copied")


async def test_log_in_and_out(browser: Browser, dashboard: Dashboard) -> None:
    dashboard.tokens = [token("ops", TOKEN)]
    page = await browser.new_page()
    await page.goto(f"{dashboard.url}/?state=running")
    await page.get_by_label("Token").fill("wrong")
    await page.get_by_role("button", name="Log in").click()
    await expect(page.get_by_role("alert")).to_contain_text("none of the service’s tokens")
    await page.screenshot(path=ARTIFACTS / "login.png")
    await page.get_by_label("Token").fill(TOKEN)
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(f"{dashboard.url}/?state=running")
    await expect(page.locator(ROWS)).to_have_count(1)
    assert await page.evaluate("document.cookie") == ""
    await page.get_by_role("button", name="Log out").click()
    await expect(page).to_have_url(f"{dashboard.url}/login")
    await page.go_back()
    await expect(page.locator(ROWS)).to_have_count(0)
    await page.goto(dashboard.url)
    await expect(page.get_by_label("Token")).to_be_visible()
    await page.close()


async def test_a_session_that_ends_leads_to_the_login_page(browser: Browser, dashboard: Dashboard) -> None:
    dashboard.tokens = [token("ops", TOKEN)]
    page = await browser.new_page()
    await page.goto(f"{dashboard.url}/?state=running")
    await page.get_by_label("Token").fill(TOKEN)
    await page.keyboard.press("Enter")
    await expect(page.locator(ROWS)).to_have_count(1)
    dashboard.time += 24 * 3600
    await expect(page).to_have_url(f"{dashboard.url}/login?to=%2F%3Fstate%3Drunning")
    await page.close()


async def test_a_service_that_is_gone_is_told_and_comes_back(browser: Browser, dashboard: Dashboard) -> None:
    page = await browser.new_page()
    await page.goto(dashboard.url)
    await expect(page.locator("#lost")).to_be_hidden()
    await dashboard.stop()
    await expect(page.locator("#lost")).to_be_visible()
    await expect(page.locator(ROWS)).to_have_count(5)
    await dashboard.change("globex", state=State.FAILED)
    await dashboard.start()
    await expect(page.locator("#lost")).to_be_hidden()
    await expect(page.locator("#account-globex .pill")).to_have_text("failed")


async def test_it_works_without_scripts(browser: Browser, dashboard: Dashboard) -> None:
    page = await (await browser.new_context(java_script_enabled=False)).new_page()
    await page.goto(dashboard.url)
    await page.locator("#chip-held").click()
    await expect(page.locator(ROWS)).to_have_count(1)
    await page.locator("#q").fill("globex")
    await page.locator("#q").press("Enter")
    await expect(page).to_have_url(f"{dashboard.url}/?state=held&q=globex")
    await page.get_by_role("link", name="Show all").first.click()
    await expect(page.locator(ROWS)).to_have_count(5)


async def test_ten_thousand_accounts(dashboard: Dashboard, watched: Watched) -> None:
    await dashboard.fill([job(f"account-{number:05}", State.QUEUED) for number in range(10_000)])
    page = watched.page
    await page.goto(dashboard.url)
    await expect(page.locator(ROWS)).to_have_count(50)
    await page.get_by_role("link", name="Next").click()
    await expect(page.locator(".pager")).to_contain_text("51–100 of 10,000")
    await page.locator("#q").fill("-0999")
    await expect(page.locator(ROWS)).to_have_count(10)
    await expect(page.locator(".pager")).to_have_count(0)
