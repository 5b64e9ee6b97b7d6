"""`serve` notices chats that change, as it notices the accounts file."""

from __future__ import annotations

from processes import HTTP, Site, eventually


def test_a_changed_chat_is_a_new_run_and_a_refused_one_is_shown(site: Site) -> None:
    site.accounts("a")
    service = site.start("serve", "--port", "0", ORCHESTRATOR_DATASET_WATCH_SECONDS="0.5")
    url = service.find(r'"url": "(http://[^"]+)"[^\n]*"service.ready"')

    site.chat("one-more", "Is it noticed?", "It is.")

    service.find("(dataset.changed)")
    eventually(lambda: service.said().count('"run.current"') == 2, "the new run")

    (site.chats / "broken.json").write_text("[")
    service.find("(accounts_file.refused)")
    eventually(lambda: site.status()["problem"], "the refusal in the status of another process")
    problem = site.status()["problem"]
    assert problem == HTTP.get(f"{url.rstrip('/')}/status").json()["problem"]
    assert "broken.json:1" in problem["message"]
    shown = site.run("status").out
    assert "broken.json:1" in shown.split("run ")[0]  # above the table
    assert problem["hint"] in shown

    (site.chats / "broken.json").unlink()
    site.chat("another", "And after a fault?", "Too.")
    eventually(lambda: service.said().count('"run.current"') == 3, "the run after the fault")
    eventually(lambda: site.status()["problem"] is None, "a status without the refusal")
    assert service.stop().code == 0
