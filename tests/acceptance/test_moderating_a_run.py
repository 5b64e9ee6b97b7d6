"""Moderation before anything is sent: it resumes, it holds, it names the place, and no text is judged twice."""

from __future__ import annotations

import signal
import sqlite3
from contextlib import closing
from typing import Any

import pytest
from machine_speed import scale_seconds
from processes import HTTP, Sandbox, Site, eventually

UNHURRIED = {"ORCHESTRATOR_MODERATION_TOKENS_PER_MINUTE": "1000000"}
BATCH = 32


@pytest.fixture
def moderated(site: Site) -> Site:
    """A deployment that waives nothing."""
    site.environ |= UNHURRIED
    site.accounts("one", "two")
    unwaived(site)
    return site


def unwaived(site: Site, instead: str = "") -> None:
    accounts = site.folder / "accounts.toml"
    accounts.write_text(accounts.read_text().replace('moderation_waived = "a test"', instead))


def judged(sandbox: Sandbox, account: str = "one") -> dict[str, int]:
    """How often each input was judged for this account."""
    counts: dict[str, int] = sandbox.state()["judged"].get(account, {})
    return counts


def answers(sandbox: Sandbox) -> dict[str, int]:
    outcomes: dict[str, int] = sandbox.state()["requests"].get("moderations.create", {})
    return outcomes


def kept_verdicts(site: Site) -> int:
    """How many verdicts the deployment's database has."""
    with closing(sqlite3.connect(site.data / "orchestrator.db", timeout=scale_seconds(60))) as database:
        count: int = database.execute("SELECT count(*) FROM moderations").fetchone()[0]
        return count


def assert_nothing_sent(sandbox: Sandbox) -> None:
    assert sandbox.changes() == {}
    assert sandbox.held() == {}


def moderation(site: Site) -> Any:
    return site.status()["run"]["moderation"]


def test_429_and_a_dropped_result_are_asked_for_again(moderated: Site, sandbox: Sandbox) -> None:
    """The second fault meets the first request too, where it has nothing to drop."""
    here = {"operations": ["moderations.create"]}
    sandbox.faults({"kind": "rate_limit", "seconds": 0.3, "times": 1, **here}, {"kind": "drop_result", "times": 2})
    run = moderated.run("run")
    assert run.code == 0, run.err
    assert sandbox.fired() == [1, 2]
    counts = judged(sandbox)
    again = [count for count in counts.values() if count > 1]
    assert (again, len(counts) > 2 * BATCH) == ([2] * BATCH, True), "only what the incomplete answer was about"
    assert answers(sandbox) == {"200": -(-len(counts) // BATCH) + 1, "429": 1}
    assert moderation(moderated) | {"at": ""} == {
        "state": "passed",
        "by": "one",
        "at": "",
        "texts": len(counts),
        "reason": "",
        "hint": "",
        "progress": None,
    }
    assert moderated.run("run").code == 0
    assert judged(sandbox) == counts


def test_a_kill_loses_no_verdict(moderated: Site, sandbox: Sandbox) -> None:
    here = {"operations": ["moderations.create"]}
    sandbox.faults({"kind": "slow", "seconds": 0.3, **here})
    run = moderated.start("run")
    eventually(lambda: answers(sandbox).get("200", 0) >= 2, "two answers")
    sandbox.faults({"kind": "stall", **here})
    eventually(lambda: sandbox.fired() == [1], "a question that is not answered")
    before = judged(sandbox)
    eventually(lambda: kept_verdicts(moderated) == len(before), "the verdicts are kept")
    run.kill()
    assert len(before) >= 2 * BATCH
    assert_nothing_sent(sandbox)

    sandbox.faults()
    assert moderated.run("run").code == 0
    after = judged(sandbox)
    assert len(after) > len(before)
    assert {digest: after[digest] for digest in before} == dict.fromkeys(before, 1)


def test_a_validation_set_of_ones_own_is_moderated_as_well(moderated: Site, sandbox: Sandbox) -> None:
    own = moderated.folder / "own.json"
    own.write_text('[\n{"role": "user", "content": "Hi"},\n{"role": "assistant", "content": "FLAGME, friend"}]')
    accounts = moderated.folder / "accounts.toml"
    accounts.write_text(accounts.read_text().replace("[run]\n", '[run]\nvalidation = "own.json"\n', 1))
    run = moderated.run("run")
    assert run.code == 1
    assert "own.json:3: error [flagged] at $[1].content" in run.err
    assert_nothing_sent(sandbox)


def test_a_flagged_text_is_named_and_stops_everything(moderated: Site, sandbox: Sandbox) -> None:
    chat = moderated.chats / "20-flagged.json"
    chat.write_text('[\n{"role": "user", "content": "Hi"},\n{"role": "assistant", "content": "FLAGME, friend"}]')
    for _ in range(2):
        run = moderated.run("run")
        assert run.code == 1
        assert "20-flagged.json:3: error [flagged] at $[1].content" in run.err
        assert "harassment 0.97" in run.err
        assert "Traceback" not in run.err
    counts = judged(sandbox)
    assert set(counts.values()) == {1}
    assert_nothing_sent(sandbox)
    assert moderated.run("check", "--report", "report.html").code == 0
    assert "the moderation flags this text: harassment 0.97" in (moderated.folder / "report.html").read_text()

    chat.write_text(chat.read_text().replace("FLAGME", "Hello"))
    assert moderated.run("run").code == 0
    assert set(judged(sandbox).values()) == {1}
    assert len(judged(sandbox)) == len(counts) + 1


def test_what_was_not_moderated_is_held_until_a_reason_is_recorded(moderated: Site, sandbox: Sandbox) -> None:
    moderated.key("one", "a-wrong-key")
    moderated.key("two", "a-wrong-key")
    run = moderated.run("run")
    assert run.code == 1
    assert_nothing_sent(sandbox)
    (hold,) = moderated.status()["run"]["holds"]
    assert hold["kind"] == "not_moderated"
    assert "account one: authentication_failed" in hold["message"]
    assert "account two: authentication_failed" in hold["message"]
    assert "waive" not in hold["hint"]
    assert moderation(moderated)["state"] == "not moderated"

    assert moderated.run("waive", "").code == 2, "a reason is asked for"
    assert moderated.run("waive", "judged upstream, ticket 7").code == 0
    waived = moderation(moderated)
    assert (waived["state"], waived["reason"]) == ("waived", "judged upstream, ticket 7")
    assert waived["by"].startswith("operator:")
    assert waived["at"]
    moderated.key("one", "sandbox-one")
    moderated.key("two", "sandbox-two")
    assert moderated.run("run").code == 0
    assert sandbox.held() == {"one": (1, 1), "two": (1, 1)}
    assert answers(sandbox) == {}
    assert moderation(moderated) == waived


def test_the_service_works_during_a_moderation_and_an_outage_needs_nobody(moderated: Site, sandbox: Sandbox) -> None:
    """Each text takes its time, then the provider is away; nobody does anything."""
    here = {"operations": ["moderations.create"]}
    sandbox.faults({"kind": "stall", **here})
    service = moderated.start("serve", "--port", "0")
    url = service.find(r"(http://\S+/)status")
    eventually(lambda: sandbox.fired() == [1], "it is asked")
    eventually(lambda: HTTP.get(f"{url}readyz").status_code == 200, "the service is ready while it moderates")
    seen = HTTP.get(f"{url}status").json()
    assert [(job["account"], job["held"]) for job in seen["jobs"]] == [("one", True), ("two", True)]
    assert [hold["kind"] for hold in seen["run"]["holds"]] == ["moderating"]
    assert not seen["settled"]
    assert "The chats are being moderated" in HTTP.get(url).text

    service.send(signal.SIGTERM)
    assert service.result().code == 0
    assert_nothing_sent(sandbox)
    sandbox.faults({"kind": "server_error", **here})
    service = moderated.start("serve", "--port", "0")
    url = service.find(r"(http://\S+/)status")
    eventually(lambda: (moderation(moderated)["progress"] or {}).get("retry_at"), "the next attempt has a time")

    def hint() -> str:
        (hold,) = moderated.status()["run"]["holds"]
        return str(hold["hint"])

    # Between two attempts; while one is under way the service says that it moderates.
    eventually(lambda: "The next attempt is at" in hint(), "the hint names the next attempt")
    assert "waive" not in hint()
    eventually(lambda: "The moderation does not answer" in HTTP.get(url).text, "the page says what is wrong")
    sandbox.faults()
    eventually(lambda: len(sandbox.held()) == 2, "both accounts have their job without anyone")
    assert moderation(moderated)["state"] == "passed"
    service.send(signal.SIGTERM)
    ended = service.result()
    assert ended.err.count("moderation.retry_scheduled") >= 1


def test_a_named_account_whose_key_is_wrong_holds(moderated: Site, sandbox: Sandbox) -> None:
    moderated.accounts("one", "two")
    unwaived(moderated, 'moderation = "two"')
    moderated.key("two", "a-wrong-key")
    run = moderated.run("run")
    assert run.code == 1
    assert_nothing_sent(sandbox)
    (hold,) = moderated.status()["run"]["holds"]
    assert "account two: authentication_failed" in hold["message"]

    moderated.key("two", "sandbox-two")
    assert moderated.run("run").code == 0
    assert (moderation(moderated)["state"], moderation(moderated)["by"]) == ("passed", "two")
    assert judged(sandbox, "one") == {}


def test_without_a_name_the_next_account_that_can_is_asked(moderated: Site, sandbox: Sandbox) -> None:
    moderated.key("one", "a-wrong-key")
    assert moderated.run("run").code == 1, "one has no model"
    assert (moderation(moderated)["state"], moderation(moderated)["by"]) == ("passed", "two")
    assert sandbox.held() == {"two": (1, 1)}


@pytest.mark.parametrize("verb", [["run"], ["serve", "--port", "0"]])
def test_it_can_be_stopped_while_it_moderates(moderated: Site, sandbox: Sandbox, verb: list[str]) -> None:
    sandbox.faults({"kind": "stall", "operations": ["moderations.create"]})
    running = moderated.start(*verb)
    eventually(lambda: sandbox.fired() == [1], "it is asked")
    running.send(signal.SIGINT)
    stopped = running.result()
    assert stopped.code == (1 if verb == ["run"] else 0)
    assert "Traceback" not in stopped.err
    assert_nothing_sent(sandbox)
