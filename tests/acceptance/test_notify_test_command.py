"""notify-test sends a marked test message to each webhook and alert, reports each result, and prints no secret."""

from __future__ import annotations

import json
from base64 import b64encode

from processes import Site
from receiver import RecordingWebhookServer, run_receiver

SECRET = "whsec_" + b64encode(b"a key of some twenty bytes").decode()
TOKEN = "canary-4f1d-and-more"


def add_targets(site: Site, receiver: RecordingWebhookServer) -> str:
    """Write an accounts file with three webhooks, one without its secret, and an alert; return its address."""
    site.write_key("hook", SECRET)
    address = f"json://127.0.0.1:{receiver.port}/{TOKEN}"
    site.write_key("chat", address)
    targets = [
        f'[[webhooks]]\nurl = "{receiver.url("good")}"\nsecret = "file:keys/hook"\nevents = ["run.finished"]',
        f'[[webhooks]]\nurl = "{receiver.url("bad")}"\nsecret = "file:keys/hook"',
        f'[[webhooks]]\nurl = "{receiver.url("unsigned")}"\nsecret = "env:UNSET_SECRET"',
        '[[alerts]]\nurl = "file:keys/chat"',
    ]
    site.write_accounts("acme", options={"acme": "\n".join(targets)})
    return address


def test_each_target_gets_a_marked_message_and_has_its_result(site: Site) -> None:
    with run_receiver() as receiver:
        receiver.refused.add("/bad")
        address = add_targets(site, receiver)
        done = site.run("notify-test")
        (message,) = receiver.verified_payloads(SECRET, "/good")
        assert message["type"] == "notification.test"
        assert "test message" in message["data"]["error"]["message"]
        assert receiver.event_types("/bad") == ["notification.test"]
        assert receiver.event_types("/unsigned") == []
        (alert,) = [json.loads(body) for path, _, body in receiver.requests if path == f"/{TOKEN}"]
        assert "test" in alert["title"]
        assert "nothing has happened" in alert["message"]
    lines = {line.split()[0]: line for line in done.out.splitlines() if line}
    assert done.code == 1
    assert "accepted after" in lines[receiver.url("good")]
    assert "failed: 500: /bad" in lines[receiver.url("bad")]
    assert "failed: [[webhooks]]" in lines[receiver.url("unsigned")]
    assert "UNSET_SECRET is not set" in lines[receiver.url("unsigned")]
    assert "accepted after" in lines["file:keys/chat"]
    assert "2 of 4 test messages failed." in done.out
    for secret in (SECRET, TOKEN, address):
        assert secret not in done.out + done.err
    assert not (site.data / "orchestrator.db").exists()


def test_one_target_can_be_named(site: Site) -> None:
    with run_receiver() as receiver:
        add_targets(site, receiver)
        done = site.run("notify-test", receiver.url("good"), "--json")
        assert [path for path, _, _ in receiver.requests] == ["/good"]
    (result,) = done.json
    assert done.code == 0
    assert (result["target"], result["channel"], result["accepted"], result["error"]) == (
        receiver.url("good"),
        "webhook",
        True,
        None,
    )


def test_an_unknown_target_and_a_file_without_targets_are_usage_errors(site: Site) -> None:
    with run_receiver() as receiver:
        add_targets(site, receiver)
        unknown = site.run("notify-test", "file:keys/chatt")
        assert (unknown.code, receiver.requests) == (2, [])
    assert 'did you mean "file:keys/chat"?' in unknown.err
    pasted = site.run("notify-test", f"https://example.com/{SECRET}")
    assert (pasted.code, SECRET in pasted.out + pasted.err) == (2, False)
    site.write_accounts("acme")
    without = site.run("notify-test")
    assert without.code == 2
    assert "no [[webhooks]] and no [[alerts]]" in without.err
