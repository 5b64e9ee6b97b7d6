"""`orchestrator compare`: what it announces, what it finds, and that a kill costs no second answer."""

from __future__ import annotations

import json

import pytest
from machine_speed import scale_seconds
from processes import HTTP, SandboxProcess, Site, eventually
from short_waits import COMPARISON_CLAIM, shorten_waits

ACCOUNTS = ("acme-eu", "acme-us", "globex")
SERVICE_URL = r'"service.ready"[^\n]*"url": "(http://[^"]+)"'
OPTIONS = ("--round-gap", "0", "--probes", "30", "--no-behaviour")


def train(site: Site, run: str = "") -> Site:
    """Train a model in each account, with 40 held-out examples. `run` are more lines of the run's tables."""
    for chat in site.chats.iterdir():
        chat.unlink()
    for number in range(100):
        messages = [
            {"role": "user", "content": f"Basket {number} has {number + 3} apples. How many do two of them have?"},
            {"role": "assistant", "content": f"Two baskets like number {number} have {2 * number + 6} apples."},
        ]
        (site.chats / f"{number:03}.json").write_text(json.dumps({"messages": messages}))
    site.write_accounts(*ACCOUNTS, run=f"validation_fraction = 0.4\nmax_total_usd = 100\n{run}")
    trained = site.run("run")
    assert trained.code == 0, trained.out + trained.err
    return site


@pytest.fixture
def trained(site: Site) -> Site:
    """A site whose accounts have their models."""
    return train(site)


def shorten_claim(site: Site) -> dict[str, str]:
    """The environment of a process that will be killed: another may continue its comparison soon."""
    return shorten_waits(site.folder / "waits", {COMPARISON_CLAIM: scale_seconds(3)})


def test_account_that_differs_is_named_and_the_command_fails(trained: Site, sandbox: SandboxProcess) -> None:
    unconfirmed = trained.run("compare", *OPTIONS)
    assert unconfirmed.code == 1
    assert "Comparing 3 models, 30 probes: 210 requests, at most $0.0" in unconfirmed.out
    assert "No model was called. Confirm the price with --max-usd 0.0" in unconfirmed.out
    assert "chat.create" not in sandbox.count_requests("acme-eu")
    assert trained.run("compare", "--latest").code == 1

    sandbox.set_answers({"accounts": ["globex"], "refused": 0.8})
    missing = trained.run("compare", *OPTIONS, "--yes", "--report", "nowhere/report.html")
    assert missing.code == 2
    assert "the folder nowhere does not exist" in missing.err
    assert "chat.create" not in sandbox.count_requests("acme-eu")
    report = trained.folder / "report.html"
    compared = trained.run("compare", *OPTIONS, "--max-usd", "1", "--report", str(report))
    assert compared.code == 1, compared.out + compared.err
    text = report.read_text(encoding="utf-8")
    assert "globex refuses" in text
    assert "How many do two of them have?" in text  # the probes are read from the dataset
    assert "<script" not in text
    rows = {line.split()[0]: line for line in compared.out.splitlines() if line.startswith(ACCOUNTS)}
    assert "DIFFERENT" in rows["globex"]
    assert "refuses" in rows["globex"]
    assert not any("DIFFERENT" in rows[name] for name in ("acme-eu", "acme-us"))
    assert sum(sandbox.count_requests(name)["chat.create"]["200"] for name in ACCOUNTS) == 210

    document = trained.run("compare", "--latest", "--json").json
    assert (document["schema"], document["passed"], document["requests"]) == (1, False, 210)
    verdicts = {each["account"]: each["verdict"] for each in document["accounts"]}
    assert verdicts["globex"] == "different"
    assert "globex refuses" in document["summary"]


def test_gate_leaves_out_what_is_not_alike_until_it_is_accepted_by_name(site: Site, sandbox: SandboxProcess) -> None:
    train(site, "[run.comparison]\ngate = true\nquality_margin = 0.5")
    ids = {name: job["fine_tuned_model"] for name, job in site.jobs().items()}
    new = site.run("models", "--format", "env")
    assert (new.code, [line for line in new.out.splitlines() if line.startswith("MODEL_")]) == (1, [])
    assert new.err.count("has not been compared: `orchestrator compare`") == 3

    sandbox.set_answers({"accounts": ["globex"], "refused": 0.8})
    assert site.run("compare", *OPTIONS, "--max-usd", "1").code == 1
    document = site.run("compare", "--latest", "--json").json
    alike = {each["account"] for each in document["accounts"] if each["verdict"] == "alike"}
    assert alike == {"acme-eu", "acme-us"}
    exported = site.run("models", "--format", "json")
    assert exported.code == 1
    assert exported.json == {name: ids[name] if name in alike else None for name in ACCOUNTS}
    assert "Omitted: globex: is different from the other models: refuses " in exported.err
    assert '# Left out: "globex" at openai: is different' in site.run("models", "--format", "litellm").out

    without_reason = site.run("accept", "globex")
    assert (without_reason.code, "--reason" in without_reason.err) == (2, True)
    accepted = site.run("accept", "globex", "--reason", "A strict model is wanted.")
    assert (accepted.code, accepted.out) == (0, "Accepted the model of globex.\n")
    assert site.run("models", "--format", "json").json["globex"] == ids["globex"]
    status = site.jobs()["globex"]["comparison"]
    assert (status["verdict"], status["accepted_reason"]) == ("different", "A strict model is wanted.")
    latest = site.run("compare", "--latest", "--json")
    assert (latest.code, latest.json["passed"]) == (0, True)
    assert {each["account"] for each in latest.json["accounts"] if each["accepted_by"]} == {"globex"}
    assert "model accepted" in site.run("history", "globex").out
    assert site.run("accept", "globex", "--revoke").code == 0
    assert site.run("models", "--format", "json").json["globex"] is None
    assert site.run("accept", "globex", "--reason", "A strict model is wanted.").code == 0

    site.write_chat("new", "Is there another basket?", "There is another one with nine apples.")
    assert site.run("run").code == 0
    assert site.jobs()["globex"]["fine_tuned_model"] != ids["globex"]
    again = site.run("models", "--format", "json")
    assert (again.code, again.json) == (1, dict.fromkeys(ACCOUNTS))
    assert "Omitted: globex: has not been compared" in again.err


def test_killed_comparison_is_continued(trained: Site, sandbox: SandboxProcess) -> None:
    sandbox.set_faults({"kind": "slow", "operations": ["chat.create"], "seconds": 0.2})
    running = trained.start("compare", *OPTIONS, "--yes", **shorten_claim(trained))
    eventually(lambda: count_questions(sandbox) > 100, "half of the questions are answered")
    running.kill()
    sandbox.set_faults()
    continued = trained.run("compare", "--json")
    assert continued.code == 0, continued.out + continued.err
    assert "Continuing the comparison of 3 models, 30 probes: " in continued.err
    stored = int(continued.err.partition("30 probes: ")[2].split()[0])
    assert 0 < stored < 210
    assert continued.json["requests"] >= 210
    asked_again = count_questions(sandbox) - 210
    assert 0 <= asked_again <= 60  # those of the last two batches, and the calls in flight


def test_service_runs_a_requested_comparison_and_continues_it_after_a_kill(
    trained: Site, sandbox: SandboxProcess
) -> None:
    trained.environ |= {"ORCHESTRATOR_PORT": "0", "ORCHESTRATOR_LOG_FORMAT": "json"}
    sandbox.set_faults({"kind": "slow", "operations": ["chat.create"], "seconds": 0.2})
    killed = trained.start("serve", **shorten_claim(trained))
    url = killed.wait_for_output(SERVICE_URL) + "api/v1/comparisons"
    options = {"probes": 30, "behaviour_probes": False, "round_gap_seconds": 0.0}
    unconfirmed = HTTP.post(url, json=options)
    assert (unconfirmed.status_code, unconfirmed.json()["hint"][:14]) == (409, "Send `max_usd`")
    requested = HTTP.post(url, json=options | {"max_usd": 1.0})
    assert requested.status_code == 200, requested.text
    assert (requested.json()["models"], requested.json()["requests"]) == (3, 210)
    eventually(lambda: count_questions(sandbox) > 100, "half of the questions are answered")
    killed.kill()
    sandbox.set_faults()
    continued = trained.start("serve")
    continued.wait_for_output(r'"(comparison.finished)"', 120)
    document = trained.run("compare", "--latest", "--json").json
    assert {each["account"] for each in document["accounts"]} == set(ACCOUNTS)
    assert {each["verdict"] for each in document["accounts"]} <= {"alike", "not_sure"}
    assert 0 <= count_questions(sandbox) - 210 <= 60
    assert continued.stop().code == 0


def test_all_models_are_asked_the_same_question(trained: Site, sandbox: SandboxProcess) -> None:
    sandbox.set_answers({"accounts": ["globex"], "refused": 1.0})
    asked = trained.run("ask", "How many apples are there?", "--system", "Be brief.")
    assert asked.code == 0, asked.out + asked.err
    heads = [line for line in asked.out.splitlines() if line.startswith(ACCOUNTS)]
    assert [line.split()[0] for line in heads] == list(ACCOUNTS)
    assert "refused text" in heads[2]
    assert "$0.0000" in heads[0]
    answers = trained.run("ask", "How many apples are there?", "acme-eu", "--json").json
    assert [(each["account"], each["outcome"]) for each in answers] == [("acme-eu", "answered")]
    assert f"  {answers[0]['text']}" not in asked.out.splitlines()  # the system message is missing here
    assert trained.run("ask", "Hello", "nobody").code == 2


def test_run_without_held_out_examples_cannot_be_compared(site: Site) -> None:
    site.write_accounts("acme-eu", "acme-us")
    assert site.run("run").code == 0
    compared = site.run("compare", "--yes")
    assert (compared.code, compared.out) == (2, "")
    assert "the run has no held-out examples" in compared.err
    assert "validation_fraction" in compared.err

    chats = [
        [{"role": "user", "content": f"What is {n} + 1?"}, {"role": "assistant", "content": f"{n + 1}"}]
        for n in range(30)
    ]
    own = site.folder / "own.jsonl"
    own.write_text("".join(json.dumps({"messages": each}) + "\n" for each in chats) + "no chat\n")
    compared = site.run("compare", "--yes", "--probes-file", "own.jsonl")
    assert (compared.code, compared.out) == (2, "")
    assert "own.jsonl:31: is not JSON" in compared.err
    own.write_text(own.read_text().replace("no chat\n", ""))
    compared = site.run("compare", "--probes-file", "own.jsonl", "--no-behaviour")
    assert compared.code == 1
    assert "Comparing 2 models, 30 probes: 150 requests" in compared.out


def count_questions(sandbox: SandboxProcess) -> int:
    """How many questions were answered."""
    return sum(sandbox.count_requests(name).get("chat.create", {}).get("200", 0) for name in ACCOUNTS)
