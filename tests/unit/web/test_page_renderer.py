from __future__ import annotations

import re
from hashlib import sha256
from html.parser import HTMLParser
from typing import get_args

import pytest
from web_values import NOW, WebServiceDouble, job, ready, status

from orchestrator.core.errors import Failure
from orchestrator.core.notifications.delivery import DeliveryStatus
from orchestrator.status import StatusSnapshot, count_deliveries
from orchestrator.web.api.schemas.jobs_and_runs import EventKind
from orchestrator.web.page_renderer import STATIC_FOLDER
from orchestrator.web.template_filters import render_message

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)> {{ 7 * 7 }} `<b>`"
HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class Page(HTMLParser):
    """The page's elements, as a browser would find them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


async def html_of(service: WebServiceDouble, path: str = "/") -> str:
    async with service.client() as client:
        answer = await client.get(path)
    assert answer.status_code == 200
    return answer.text


def service_with_hostile_text() -> WebServiceDouble:
    error = Failure(HOSTILE, HOSTILE, HOSTILE)
    failed = job(
        HOSTILE,
        "failed",
        error=error,
        warning=error,
        waits_for=HOSTILE,
        provider=HOSTILE,
        labels=[HOSTILE],
        organization=HOSTILE,
        remote_job_id=HOSTILE,
        fine_tuned_model=HOSTILE,
        servable=False,
    )
    specs = {HOSTILE: {"base_model": HOSTILE, "method": HOSTILE, "n_epochs": "auto"}}
    service = WebServiceDouble()
    service.status = status(failed, name=HOSTILE, specs=specs, holds=[error], approved_by=HOSTILE)
    return service


async def test_hostile_text_is_escaped() -> None:
    async with service_with_hostile_text().client() as client:
        html = (await client.get("/", params={"q": HOSTILE[:8], "state": HOSTILE})).text
        html += (await client.get("/", params={"q": "", "state": ""})).text
    page = Page(html)
    assert {attributes.get("src", "").partition("?")[0] for attributes in page.all("script")} == {
        "/static/htmx.min.js",
        "/static/dashboard.js",
        "/static/shortcuts.js",
        "/static/theme.js",
    }
    assert page.all("img") == []
    assert "49" not in re.sub(r""""[^"]*"|'[^']*'""", "", html)  # a token in an attribute may hold it
    assert {tuple(each) for each in page.all("b")} == {()}  # the filters' counts: nothing else is bold
    assert any(attributes.get("data-copy") == HOSTILE for attributes in page.all("button"))


async def test_page_shows_state_times_and_warnings() -> None:
    warning = Failure("job_stalled", "nothing has changed for 6 h", "Look at `it`.")
    values = {"progress": 0.4, "state_since": NOW - 7 * 3600, "warning": warning}
    service = WebServiceDouble()
    service.status = status(job("a", "running", **values), job("b", "ready", waits_for="`orchestrator start`"))
    html = await html_of(service)
    assert ">40%</span>" in html
    assert ">for 7 h</td>" in html
    assert html.count("nothing has changed for 6 h") == 3  # above the list, in the row and in its tooltip
    assert "waits for <code>orchestrator start</code>" in html


async def test_failed_deliveries_are_reported_on_the_first_page() -> None:
    service = WebServiceDouble(ready("a"))
    assert "deliveries?state" not in await html_of(service)
    service.answers[count_deliveries] = dict.fromkeys(DeliveryStatus, 3)
    html = await html_of(service)
    assert "3 deliveries failed." in html
    assert 'href="/deliveries?state=dead"' in html


async def test_page_has_no_inline_or_external_resources() -> None:
    page = Page(await html_of(service_with_hostile_text()))
    for tag, attributes in page.elements:
        assert tag != "style"
        assert "style" not in attributes
        assert not any(name.startswith(("on", "hx-on")) for name in attributes)
        assert not any("//" in attributes.get(name, "") for name in ("src", "href", "action", "hx-get"))
        assert tag != "script" or attributes["src"].startswith("/static/")


@pytest.mark.parametrize(
    "path", ["/", "/status", "/healthz", "/nowhere", "/static/style.css", "/static/nowhere", "/login"]
)
@pytest.mark.parametrize("token", [None, "token"])
async def test_every_answer_has_security_headers(path: str, token: str | None) -> None:
    async with WebServiceDouble(token=token).client() as client:
        answer = await client.get(path)
    assert HEADERS.items() <= dict(answer.headers).items()
    policy = answer.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize("host", ["127.0.0.1", "evil.example"])
async def test_error_answers_have_security_headers(host: str) -> None:
    service = WebServiceDouble()
    service.status = RuntimeError("broken")
    async with service.client() as client:
        answer = await client.get("/status", headers={"Host": host})
    assert answer.status_code >= 400
    assert HEADERS.items() <= dict(answer.headers).items()


@pytest.mark.parametrize(
    ("shown", "title"),
    [
        (StatusSnapshot(run=None), "orchestrator"),
        (status(ready("a"), job("b", "running")), "1/2 · support-tone"),
        (status(name="a < b"), "0/0 · a &lt; b"),
    ],
)
async def test_the_title_shows_the_progress(shown: StatusSnapshot, title: str) -> None:
    service = WebServiceDouble()
    service.status = shown
    assert f"<title>{title}</title>" in await html_of(service)


async def test_page_polls_with_its_filters() -> None:
    async with WebServiceDouble(ready("a"), job("b", "failed")).client() as client:
        first = await client.get("/?state=failed&q=b")
        live = next(each for each in Page(first.text).all("main") if each["id"] == "live")
        assert live["hx-get"] == "/?state=failed&q=b"
        assert first.headers["etag"].strip('"') in live["hx-headers"]
        again = await client.get(live["hx-get"], headers={"If-None-Match": first.headers["etag"]})
        elsewhere = await client.get("/", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert elsewhere.status_code == 200


async def test_a_poll_brings_a_change() -> None:
    service = WebServiceDouble(job("a", "running", progress=0.5))
    async with service.client() as client:
        first = await client.get("/")
        assert 'value="50"' in first.text
        service.now = NOW + 5
        assert (await client.get("/", headers={"If-None-Match": first.headers["etag"]})).status_code == 304
        service.status = status(job("a", "running", progress=0.6))
        second = await client.get("/", headers={"If-None-Match": first.headers["etag"]})
    assert second.status_code == 200
    assert 'value="60"' in second.text


async def test_etag_depends_on_the_user() -> None:
    async with WebServiceDouble(ready("a"), token="t", read_token="r").client() as client:
        answers = [await client.get("/", headers={"Authorization": f"Bearer {token}"}) for token in "tr"]
    assert answers[0].headers["etag"] != answers[1].headers["etag"]
    assert {answer.headers["cache-control"] for answer in answers} == {"no-store"}


async def test_ten_thousand_accounts_are_a_small_page() -> None:
    html = await html_of(WebServiceDouble(*(job(f"a{number:05}", "failed") for number in range(10_000))))
    assert len(html) < 120_000
    assert "10,000" in html
    assert 'rel="next"' in html


async def test_ids_are_unique() -> None:
    jobs = [ready(f"a{number}", remote_job_id=f"ftjob-{number}") for number in range(60)]
    ids = [
        attributes["id"]
        for _, attributes in Page(await html_of(WebServiceDouble(*jobs))).elements
        if "id" in attributes
    ]
    assert len(ids) == len(set(ids))


async def test_page_without_a_run_is_rendered() -> None:
    service = WebServiceDouble()
    service.status = StatusSnapshot(run=None)
    assert "No run yet" in await html_of(service)


async def test_a_model_that_cannot_be_served_is_marked() -> None:
    assert "must be deployed before use" in await html_of(WebServiceDouble(ready("a", servable=False)))
    assert "must be deployed before use" not in await html_of(WebServiceDouble(ready("a")))


def test_vendored_libraries_have_their_recorded_hashes() -> None:
    known = dict(re.findall(r"`([\w.]+)` \|.*`([0-9a-f]{64})`", (STATIC_FOLDER / "README.md").read_text("utf-8")))
    assert set(known) == {"htmx.min.js", "uplot.iife.min.js", "uplot.min.css"}
    for name, digest in known.items():
        assert sha256((STATIC_FOLDER / name).read_bytes()).hexdigest() == digest
    assert "Zero-Clause BSD" in (STATIC_FOLDER / "htmx.LICENSE.txt").read_text("utf-8")
    assert "MIT" in (STATIC_FOLDER / "uplot.LICENSE.txt").read_text("utf-8")


def test_page_refreshes_after_every_kind_of_event() -> None:
    """A listener of the event stream gets only the kinds that it names."""
    script = (STATIC_FOLDER / "dashboard.js").read_text("utf-8")
    [named] = re.findall(r"for \(const kind of \[([^]]*)\]\) stream", script)
    assert set(re.findall(r'"(\w+)"', named)) == set(get_args(EventKind))


def test_every_class_of_the_pages_has_a_rule() -> None:
    style = (STATIC_FOLDER / "style.css").read_text("utf-8")
    templates = "".join(path.read_text("utf-8") for path in (STATIC_FOLDER.parent / "templates").iterdir())
    classes = {name for text in re.findall(r'class="([^"{]*)', templates) for name in text.split()}
    assert {name for name in classes if f".{name}" not in style} == set()


def test_styles_follow_the_chosen_theme_and_not_only_the_browser() -> None:
    style = (STATIC_FOLDER / "style.css").read_text("utf-8")
    assert "prefers-color-scheme" not in style  # use `light-dark(…)`: a media query ignores the theme switch


@pytest.mark.parametrize(
    ("text", "html"),
    [("a `b` c", "a <code>b</code> c"), ("<`&`>", "&lt;<code>&amp;</code>&gt;"), ("one ` only", "one ` only")],
)
def test_prose_is_escaped_and_knows_code(text: str, html: str) -> None:
    assert str(render_message(text)) == html
