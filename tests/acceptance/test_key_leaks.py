"""A key is nowhere but where it is kept and in the calls that need it, whatever goes wrong."""

from __future__ import annotations

import json
import re
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from secrets import token_hex

import httpx2
import pytest
from key_encodings import ENCODINGS
from machine_speed import scale_seconds
from processes import HTTP, SandboxProcess, Site, eventually
from receiver import RecordingWebhookServer, run_receiver

DEBUG = {"ORCHESTRATOR_LOG_LEVEL": "debug"}
KINDS = {"env": "env:CANARY_{}", "file": "file:keys/{}", "cmd": "cmd:cat keys/{}"}
RIGHT = [f"{kind}-right" for kind in KINDS]
WRONG = [f"{kind}-wrong" for kind in KINDS]


@pytest.fixture
def canary(site: Site) -> str:
    """A secret in the keys of six accounts. The sandbox repeats the wrong ones in its refusal."""
    canary = token_hex(8)
    for name in RIGHT:
        site.write_key(name, f"sandbox-{name}_{canary}")
    for name in WRONG:
        site.write_key(name, f"sk-{name}-{canary}")
    for name in RIGHT + WRONG:
        site.environ[f"CANARY_{name.replace('-', '_')}"] = (site.folder / "keys" / name).read_text()
    site.write_accounts(*RIGHT, *WRONG, keys={name: key_reference(name) for name in RIGHT + WRONG})
    return canary


def add_notification_targets(site: Site, canary: str, receiver: RecordingWebhookServer) -> None:
    """Add a webhook and an alert whose addresses are secrets; both refuse, and say what they were asked."""
    site.write_key("signing", f"whsec_{canary}{canary}")
    receiver.refused.add(f"/{canary}")
    site.environ["CANARY_HOOK"] = receiver.url(canary)
    site.environ["CANARY_ALERT"] = f"json://127.0.0.1:{receiver.port}/{canary}"
    accounts = site.folder / "accounts.toml"
    lines = ["[[webhooks]]", 'url = "env:CANARY_HOOK"', 'secret = "file:keys/signing"']
    lines += ["[[alerts]]", 'url = "env:CANARY_ALERT"', 'events = ["account.held"]']
    accounts.write_text(accounts.read_text() + "\n".join(lines) + "\n")


def key_reference(name: str) -> str:
    kind = name.partition("-")[0]
    return KINDS[kind].format(name.replace("-", "_") if kind == "env" else name)


def test_no_key_is_shown_or_stored(site: Site, sandbox: SandboxProcess, canary: str) -> None:
    """The provider repeats keys wherever it can put a text of its own."""
    site.fresh = True  # with command lines of their own
    echo = f"what is sandbox-{{}}_{canary} doing here?"
    sandbox.set_faults(
        {"kind": "fail_job", "accounts": ["env-right"], "message": echo.format("env-right")},
        {"kind": "reject_file", "accounts": ["file-right"], "message": echo.format("file-right")},
        {"kind": "forbidden", "accounts": ["cmd-right"], "message": echo.format("cmd-right")},
    )
    with run_receiver() as receiver:
        add_notification_targets(site, canary, receiver)
        run = site.start("run", **DEBUG)
        while not run.ended:
            assert find_leaks(site, canary) == []
            time.sleep(0.1)
        assert run.result().code == 1
    assert {json.loads(body)["type"] for *_, body in receiver.requests} >= {"job.failed", "account.held"}
    assert not [body for *_, body in receiver.requests if canary.encode() in body]
    errors = {each["target"]: each["error"] for each in site.run("deliveries", "list", "--json", **DEBUG).json}
    assert errors["env:CANARY_HOOK"].startswith("500: /[key ")
    assert errors["env:CANARY_ALERT"]
    errors = {job["account"]: job["error"]["message"] for job in site.status()["jobs"]}
    assert all("[key " in errors[name] for name in RIGHT + WRONG), "each of them repeats the key"

    service = site.start("serve", "--port", "0", ORCHESTRATOR_LOG_FORMAT="console", **DEBUG)
    url = service.wait_for_output(r"(http://\S+)/status")
    for path, answer in list_answers(url):
        assert canary not in answer, path
    for verb in ("accounts", "history file-wrong", "release file-wrong"):
        site.run(*verb.split(), **DEBUG)
    refused = 'operation="verify",outcome="authentication_failed"'
    assert canary not in eventually(lambda: scrape_metrics(url, refused), "the released account's call is counted")
    assert find_leaks(site, canary) == []
    service.stop()
    assert find_leaks(site, canary) == []


def test_no_form_of_a_key_reaches_any_surface(site: Site, sandbox: SandboxProcess) -> None:
    """A job fails in each account, and its message has the account's key in a few forms."""
    forms = list(ENCODINGS.items())
    names = [f"acme-{number}" for number in range(4)]
    expected: dict[str, str] = {}
    rules = []
    for number, name in enumerate(names):
        key = f"sandbox-{name}_{token_hex(8)}-Xq{token_hex(8)}"
        site.write_key(name, key)
        texts = {form: encode(key) for form, encode in forms[number :: len(names)]}
        expected |= texts
        rules.append({"kind": "fail_job", "accounts": [name], "message": " | ".join(texts.values())})
    site.write_accounts(*names)
    sandbox.set_faults(*rules)
    assert site.run("run", **DEBUG).code == 1
    messages = [job["error"]["message"] for job in site.status()["jobs"]]
    assert sum(message.count("|") for message in messages) >= len(forms) - len(names), "all of them arrived"
    service = site.start("serve", "--port", "0", ORCHESTRATOR_LOG_FORMAT="console", **DEBUG)
    url = service.wait_for_output(r"(http://\S+)/status")
    answers = dict(list_answers(url))
    if sys.platform == "linux":
        limits = Path(f"/proc/{service.pid}/limits").read_text()
        assert re.search(r"Max core file size +0 ", limits), "a core dump would have the keys"
    for command in ("backup backup.tar", "config --json", "doctor", "history acme-1", "accounts", "events --json"):
        site.run(*command.split(), **DEBUG)
    assert (site.folder / "backup.tar").exists()
    service.stop()
    shown = [
        (form, place)
        for form, text in expected.items()
        for place in [
            *(path for path, answer in answers.items() if holds(answer.encode(), text)),
            *find_files(site, text),
        ]
    ]
    assert shown == []


def find_files(site: Site, text: str) -> list[str]:
    """The files, outputs and command lines that contain the text, in whatever case."""
    return [str(path) for path in list_visible_files(site) if holds(read_content(path), text)]


def holds(content: bytes, text: str) -> bool:
    return any(form.lower().encode() in content.lower() for form in (text, json.dumps(text)[1:-1]))


def test_token_text_is_stored_nowhere(site: Site) -> None:
    """Made, used by a program and a browser, mistaken, revoked: it is in no table, no log and no answer."""
    site.write_accounts("acme")
    made = site.run("token", "create", "ci", "--role", "operator", **DEBUG)
    token = made.out.strip()
    assert (token.startswith("orch_"), len(token)) == (True, 48)
    for output in site.folder.glob("output-*.out"):
        output.write_text("")  # where it was shown, this once
    service = site.start("serve", "--port", "0", **DEBUG)
    url = service.wait_for_output(r"(http://\S+)/status")
    with httpx2.Client(base_url=url, timeout=HTTP.timeout) as stranger:
        assert stranger.get("/status").status_code == 401
        assert stranger.get("/status", headers={"Authorization": f"Bearer {token}x"}).status_code == 401
        assert token not in stranger.post("/login", data={"token": f"{token}x"}).text
    with httpx2.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=HTTP.timeout) as program:
        hold = {"accounts": ["acme"], "reason": "to see"}
        eventually(lambda: program.post("/api/v1/actions/hold", json=hold).status_code == 200, "acme is held")
        for path, answer in list_answers(url, headers=dict(program.headers)):
            assert token not in answer, path
    with httpx2.Client(base_url=url, timeout=HTTP.timeout) as browser:
        entered = browser.post("/login", data={"token": token})
        assert (entered.status_code, token in str(entered.headers)) == (303, False)
        assert token not in browser.get("/", headers={"Accept": "text/html"}).text
        listed = site.run("token", "list", "--json").json
        assert [(each["name"], each["role"], each["revoked_at"]) for each in listed] == [("ci", "operator", None)]
        assert listed[0]["last_used_at"]
        assert site.run("token", "revoke", "ci", **DEBUG).code == 0
        assert browser.get("/status").status_code == 401
    assert site.run("token", "revoke", "nobody").code == 2
    service.stop()
    assert find_leaks(site, token) == []
    assert find_leaks(site, token.removeprefix("orch_")) == []


def list_answers(url: str, headers: dict[str, str] | None = None) -> Iterator[tuple[str, str]]:
    """Everything that the service answers to those who look, its own description first."""
    with httpx2.Client(base_url=url, headers=headers, timeout=HTTP.timeout) as client:
        document = client.get("/api/v1/openapi.json").json()
        status = client.get("/status").json()
        places = {
            "run": [status["run"]["id"], "current"],
            "job": [job["job"] for job in status["jobs"]],
            "account": [job["account"] for job in status["jobs"]],
            "sha256": [status["run"]["dataset_sha256"]],
            "comparison": ["none"],
        }
        paths = ["/", "/metrics", "/api/v1/openapi.json", "/nowhere"]
        paths += [
            "/plan",
            "/curves",
            "/curves.json",
            "/deliveries",
            "/runs",
            "/timeline",
            "/comparison",
            "/deployments",
            f"/datasets/{places['sha256'][0]}",
            "/confirm?verb=retry",
        ]
        paths += [f"/accounts/{name}" for name in places["account"]]
        for path, methods in document["paths"].items():
            if "get" in methods:
                before, _, rest = path.partition("{")
                parameter, _, after = rest.partition("}")
                paths += [f"{before}{each}{after}" for each in places[parameter]] if parameter else [path]
        for path in paths:
            yield path, client.get(path, params={"limit": 500} if path.endswith("events") else None).text


def test_no_key_is_in_a_traceback(site: Site, canary: str) -> None:
    """A job that makes no sense breaks a step of the loop, a page and the program itself, each with a traceback."""
    service = site.start("serve", "--port", "0", **DEBUG)
    url = service.wait_for_output(r"(http://\S+)/status")
    service.wait_for_output('("model.ready")')
    litellm = site.run("models", "--format", "litellm")
    assert "os.environ/" in litellm.out
    site.run("models", "--format", "sillytavern")

    def alike() -> bool:  # once no model comes between the two
        told = HTTP.get(f"{url}/api/v1/models", params={"format": "litellm"}).text
        return told == site.run("models", "--format", "litellm").out

    eventually(alike, "the same models")
    with closing(sqlite3.connect(site.data / "orchestrator.db", timeout=scale_seconds(60))) as database, database:
        database.execute("UPDATE jobs SET state = 'nonsense', wake_at = 0")
    service.wait_for_output(r'("job.internal_error".*Traceback.*nonsense)')
    assert canary not in HTTP.get(f"{url}/status").text
    service.stop()
    run = site.run("run", **DEBUG)
    assert run.code == 1
    assert "Traceback" in run.err
    assert find_leaks(site, canary) == []


def scrape_metrics(url: str, text: str) -> str:
    """What is scraped, once the text is in it."""
    page = HTTP.get(f"{url}/metrics").text
    return page if text in page else ""


def find_leaks(site: Site, canary: str) -> list[str]:
    """Where the canary is and must not be: files, outputs and command lines."""
    return [str(path) for path in list_visible_files(site) if canary.encode() in read_content(path)]


def list_visible_files(site: Site) -> Iterator[Path]:
    keys = site.folder / "keys"
    yield from (path for path in site.folder.rglob("*") if path.is_file() and keys not in path.parents)
    yield from Path("/proc").glob("[0-9]*/cmdline")


def read_content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # gone in the meantime
        return b""
