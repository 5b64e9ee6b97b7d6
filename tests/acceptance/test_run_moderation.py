"""Moderation before anything is sent: it resumes, it holds, it names the place, and no text is judged twice."""

from __future__ import annotations

import signal
import sqlite3
from contextlib import closing
from typing import Any

import pytest
from machine_speed import scale_seconds
from processes import HTTP, SandboxProcess, Site, eventually

UNHURRIED = {"ORCHESTRATOR_MODERATION_TOKENS_PER_MINUTE": "1000000"}
BATCH = 32


@pytest.fixture
def moderated(site: Site) -> Site:
    """A deployment that waives nothing."""
    site.environ |= UNHURRIED
    site.write_accounts("one", "two")
    remove_waiver(site)
    return site


def remove_waiver(site: Site, instead: str = "") -> None:
    accounts = site.folder / "accounts.toml"
    accounts.write_text(accounts.read_text().replace('moderation_waived = "a test"', instead))


def count_moderated_texts(sandbox: SandboxProcess, account: str = "one") -> dict[str, int]:
    """How often each input was judged for this account."""
    counts: dict[str, int] = sandbox.state()["judged"].get(account, {})
    return counts


def answers(sandbox: SandboxProcess) -> dict[str, int]:
    outcomes: dict[str, int] = sandbox.state()["requests"].get("moderations.create", {})
    return outcomes


def count_stored_verdicts(site: Site) -> int:
    """How many verdicts the deployment's database has."""
    with closing(sqlite3.connect(site.data / "orchestrator.db", timeout=scale_seconds(60))) as database:
        count: int = database.execute("SELECT count(*) FROM moderations").fetchone()[0]
        return count


def assert_nothing_sent(sandbox: SandboxProcess) -> None:
    assert sandbox.count_changing_requests() == {}
    assert sandbox.count_files_and_jobs() == {}


def moderation(site: Site) -> Any:
    return site.status()["run"]["moderation"]


def test_moderation_retries_429_and_dropped_results(moderated: Site, sandbox: SandboxProcess) -> None:
    """The second fault meets the first request too, where it has nothing to drop."""
    here = {"operations": ["moderations.create"]}
    sandbox.set_faults(
        {"kind": "rate_limit", "seconds": 0.3, "times": 1, **here}, {"kind": "drop_result", "times": 2}
    )
    run = moderated.run("run")
    assert run.code == 0, run.err
    assert sandbox.count_fired_faults() == [1, 2]
    counts = count_moderated_texts(sandbox)
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
    assert count_moderated_texts(sandbox) == counts


def test_kill_loses_no_moderation_verdict(moderated: Site, sandbox: SandboxProcess) -> None:
    here = {"operations": ["moderations.create"]}
    sandbox.set_faults({"kind": "slow", "seconds": 0.3, **here})
    run = moderated.start("run")
    eventually(lambda: answers(sandbox).get("200", 0) >= 2, "two answers")
    sandbox.set_faults({"kind": "stall", **here})
    eventually(lambda: sandbox.count_fired_faults() == [1], "a question that is not answered")
    before = count_moderated_texts(sandbox)
    eventually(lambda: count_stored_verdicts(moderated) == len(before), "the verdicts are kept")
    run.kill()
    assert len(before) >= 2 * BATCH
    assert_nothing_sent(sandbox)

    sandbox.set_faults()
    assert moderated.run("run").code == 0
    after = count_moderated_texts(sandbox)
    assert len(after) > len(before)
    assert {digest: after[digest] for digest in before} == dict.fromkeys(before, 1)


def test_separate_validation_set_is_moderated(moderated: Site, sandbox: SandboxProcess) -> None:
    own = moderated.folder / "own.json"
    own.write_text('[\n{"role": "user", "content": "Hi"},\n{"role": "assistant", "content": "FLAGME, friend"}]')
    accounts = moderated.folder / "accounts.toml"
    accounts.write_text(accounts.read_text().replace("[run]\n", '[run]\nvalidation = "own.json"\n', 1))
    run = moderated.run("run")
    assert run.code == 1
    assert "own.json:3: error [flagged] at $[1].content" in run.err
    assert_nothing_sent(sandbox)


def test_flagged_text_is_named_and_holds_the_run(moderated: Site, sandbox: SandboxProcess) -> None:
    chat = moderated.chats / "20-flagged.json"
    chat.write_text('[\n{"role": "user", "content": "Hi"},\n{"role": "assistant", "content": "FLAGME, friend"}]')
    for _ in range(2):
        run = moderated.run("run")
        assert run.code == 1
        assert "20-flagged.json:3: error [flagged] at $[1].content" in run.err
        assert "harassment 0.97" in run.err
        assert "Traceback" not in run.err
    counts = count_moderated_texts(sandbox)
    assert set(counts.values()) == {1}
    assert_nothing_sent(sandbox)
    assert moderated.run("check", "--report", "report.html").code == 0
    assert "moderation flags this text: harassment 0.97" in (moderated.folder / "report.html").read_text()

    chat.write_text(chat.read_text().replace("FLAGME", "Hello"))
    assert moderated.run("run").code == 0
    assert set(count_moderated_texts(sandbox).values()) == {1}
    assert len(count_moderated_texts(sandbox)) == len(counts) + 1


def test_unmoderated_run_is_held_until_a_waiver_is_recorded(moderated: Site, sandbox: SandboxProcess) -> None:
    moderated.write_key("one", "a-wrong-key")
    moderated.write_key("two", "a-wrong-key")
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
    moderated.write_key("one", "sandbox-one")
    moderated.write_key("two", "sandbox-two")
    assert moderated.run("run").code == 0
    assert sandbox.count_files_and_jobs() == {"one": (1, 1), "two": (1, 1)}
    assert answers(sandbox) == {}
    assert moderation(moderated) == waived


def test_service_works_during_moderation_and_recovers_from_an_outage(
    moderated: Site, sandbox: SandboxProcess
) -> None:
    """Each text takes its time, then the provider is away; nobody does anything."""
    here = {"operations": ["moderations.create"]}
    sandbox.set_faults({"kind": "stall", **here})
    service = moderated.start("serve", "--port", "0")
    url = service.wait_for_output(r"(http://\S+/)status")
    eventually(lambda: sandbox.count_fired_faults() == [1], "it is asked")
    eventually(lambda: HTTP.get(f"{url}readyz").status_code == 200, "the service is ready while it moderates")
    seen = HTTP.get(f"{url}status").json()
    assert [(job["account"], job["held"]) for job in seen["jobs"]] == [("one", True), ("two", True)]
    assert [hold["kind"] for hold in seen["run"]["holds"]] == ["moderating"]
    assert not seen["settled"]
    assert "The chats are being moderated" in HTTP.get(url).text

    service.send(signal.SIGTERM)
    assert service.result().code == 0
    assert_nothing_sent(sandbox)
    sandbox.set_faults({"kind": "server_error", **here})
    service = moderated.start("serve", "--port", "0")
    url = service.wait_for_output(r"(http://\S+/)status")
    eventually(lambda: (moderation(moderated)["progress"] or {}).get("retry_at"), "the next attempt has a time")

    def hint() -> str:
        (hold,) = moderated.status()["run"]["holds"]
        return str(hold["hint"])

    # Between two attempts; while one is under way the service says that it moderates.
    eventually(lambda: "The next attempt is at" in hint(), "the hint names the next attempt")
    assert "waive" not in hint()
    eventually(
        lambda: "The moderation service is not responding" in HTTP.get(url).text, "the page says what is wrong"
    )
    sandbox.set_faults()
    eventually(lambda: len(sandbox.count_files_and_jobs()) == 2, "both accounts have their job without anyone")
    assert moderation(moderated)["state"] == "passed"
    service.send(signal.SIGTERM)
    ended = service.result()
    assert ended.err.count("moderation.retry_scheduled") >= 1


def test_moderation_account_with_a_wrong_key_holds_the_run(moderated: Site, sandbox: SandboxProcess) -> None:
    moderated.write_accounts("one", "two")
    remove_waiver(moderated, 'moderation = "two"')
    moderated.write_key("two", "a-wrong-key")
    run = moderated.run("run")
    assert run.code == 1
    assert_nothing_sent(sandbox)
    (hold,) = moderated.status()["run"]["holds"]
    assert "account two: authentication_failed" in hold["message"]

    moderated.write_key("two", "sandbox-two")
    assert moderated.run("run").code == 0
    assert (moderation(moderated)["state"], moderation(moderated)["by"]) == ("passed", "two")
    assert count_moderated_texts(sandbox, "one") == {}


def test_moderation_uses_the_next_capable_account(moderated: Site, sandbox: SandboxProcess) -> None:
    moderated.write_key("one", "a-wrong-key")
    assert moderated.run("run").code == 1, "one has no model"
    assert (moderation(moderated)["state"], moderation(moderated)["by"]) == ("passed", "two")
    assert sandbox.count_files_and_jobs() == {"two": (1, 1)}


@pytest.mark.parametrize("verb", [["run"], ["serve", "--port", "0"]])
def test_service_can_be_stopped_during_moderation(moderated: Site, sandbox: SandboxProcess, verb: list[str]) -> None:
    sandbox.set_faults({"kind": "stall", "operations": ["moderations.create"]})
    running = moderated.start(*verb)
    eventually(lambda: sandbox.count_fired_faults() == [1], "it is asked")
    running.send(signal.SIGINT)
    stopped = running.result()
    assert stopped.code == (1 if verb == ["run"] else 0)
    assert "Traceback" not in stopped.err
    assert_nothing_sent(sandbox)
