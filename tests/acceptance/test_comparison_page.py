"""What people see of a comparison: verdicts, heat map and answers, in a real browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from browser import ARTIFACTS, PageOpener, WatchedPage, find_accessibility_faults
from compared_run import ComparedRun, create_compared_run
from comparison_worlds import World
from playwright.async_api import expect
from served_dashboard import ServedDashboard, token

from orchestrator.control.comparisons import PlannedComparison
from orchestrator.core.access_token import Role
from orchestrator.core.comparison.answer import AnswerOutcome
from orchestrator.core.comparison.comparison import ComparisonState
from orchestrator.core.comparison.model_reply import ModelReply
from orchestrator.core.inference import ChatReply
from orchestrator.core.structs import replace

pytestmark = pytest.mark.asyncio(loop_scope="session")

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


async def test_comparison_is_started_at_the_confirmed_price_and_stopped(
    dashboard: ServedDashboard, watched: WatchedPage, compared: ComparedRun
) -> None:
    await dashboard.show_comparison(compared)
    new = replace(compared.comparison, id="0" * 16, state=ComparisonState.ASKING, result=None, finished_at=None)
    dashboard.planned = PlannedComparison(comparison=new, run_name="support-tone", requests=760, usd=0.41)
    page = watched.page
    await page.goto(f"{dashboard.url}/comparison")
    await page.locator("#act-start").click()
    await expect(page.locator("#confirm .price")).to_contain_text("at most $0.41")
    await page.locator("#option-probes").fill("33")
    await page.locator("#calculate").click()
    await expect(page.locator("#option-probes")).to_have_value("33")
    assert await find_accessibility_faults(page) == []
    await page.locator("#yes").click()
    await expect(page.locator("#asking")).to_contain_text("0 of 760 answers")
    await expect(page.locator("#summary")).to_contain_text("outlier-1 refuses")  # the earlier result stays
    await page.locator("#act-stop").click()
    await page.get_by_role("button", name="Stop the comparison").click()
    await expect(page.locator("#stopped")).to_contain_text("stopped by an operator")
    dashboard.planned = None
    await page.locator("#act-start").click()
    await expect(page.locator("#confirm [role=alert]")).to_contain_text("no held-out examples")
    await expect(page.locator("#yes")).to_have_count(0)


async def test_prompt_is_tried_at_selected_models_and_replies_stay(
    dashboard: ServedDashboard, watched: WatchedPage, compared: ComparedRun
) -> None:
    await dashboard.show_comparison(compared)
    models = {each.account: each for each in compared.comparison.models}
    answer = ChatReply(outcome=AnswerOutcome.ANSWERED, text=HOSTILE, prompt_tokens=10, output_tokens=20)
    dashboard.replies = [
        ModelReply(model=models[name], reply=answer, seconds=0.8) for name in ("account-000", "account-001")
    ]
    page = watched.page
    await page.goto(f"{dashboard.url}/comparison")
    await page.locator("#try-prompt").click()
    await page.locator("#question").fill("Where is my order?")
    await page.get_by_text("Select accounts").click()
    await page.get_by_label("account-001").check()
    await page.get_by_label("only the selected ones").check()
    assert await find_accessibility_faults(page) == []
    await page.locator("#send").click()
    await expect(page.locator(".answer .said")).to_have_text(HOSTILE)
    await expect(page.locator(".reply-facts")).to_contain_text("20 tokens, 0.8 s, $0.0000")
    [(accounts, question, max_usd, by)] = dashboard.questions
    assert (accounts, question.messages[-1]["content"], max_usd) == (("account-001",), "Where is my order?", None)
    assert by == "loopback"
    dashboard.time += 60
    async with page.expect_response(lambda response: response.url.endswith("/comparison/ask?run=run-1")):
        await page.evaluate("htmx.trigger('#live', 'refresh')")
    await expect(page.locator(".answer .said")).to_have_text(HOSTILE)
    await expect(page.locator("#question")).to_have_value("Where is my order?")
    assert await find_accessibility_faults(page) == []


async def test_accepted_model_is_named_on_both_pages(
    dashboard: ServedDashboard, watched: WatchedPage, compared: ComparedRun
) -> None:
    await dashboard.show_comparison(compared)
    page = watched.page
    await page.goto(f"{dashboard.url}/comparison?q=outlier-1")
    card = page.locator("#verdict-outlier-1")
    await expect(card).to_contain_text("refuses")
    await expect(card).not_to_contain_text("Accepted by")
    await page.get_by_role("link", name="Page of the account").click()
    await expect(page.locator("#verdict")).to_contain_text("different")
    await expect(page.locator("#verdict")).to_contain_text("refuses")
    assert await find_accessibility_faults(page) == []
    await page.locator("#act-accept").click()
    await page.locator("#reason").fill("Refusals are wanted here.")
    await page.locator("#yes").click()
    await expect(page.locator("#verdict")).to_contain_text("accepted by loopback: Refusals are wanted here.")
    await page.get_by_role("link", name="Comparison of").click()
    await expect(card).to_contain_text("Accepted by loopback.")


async def test_reader_can_neither_start_a_comparison_nor_ask(
    dashboard: ServedDashboard, opener: PageOpener, compared: ComparedRun
) -> None:
    await dashboard.show_comparison(compared)
    dashboard.tokens = [token("reader", "reader-token", Role.READER)]
    page = await opener.open()
    headers = {"Authorization": "Bearer reader-token"}
    shown = await page.request.get(f"{dashboard.url}/comparison", headers=headers)
    assert (shown.status, "act-start" in await shown.text()) == (200, False)
    for path in ("/comparison/ask", "/comparison/confirm?verb=start"):
        assert (await page.request.get(dashboard.url + path, headers=headers)).status == 403
    for path in ("/comparison/ask", "/comparison/act"):
        assert (await page.request.post(dashboard.url + path, headers=headers, form={"verb": "start"})).status == 403
    assert dashboard.questions == []


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
