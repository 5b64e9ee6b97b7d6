"""`serve` notices chats that change, as it notices the accounts file."""

from __future__ import annotations

from processes import HTTP, Site, eventually


def test_a_changed_chat_is_a_new_run_and_a_refused_one_is_shown(site: Site) -> None:
    site.write_accounts("a")
    service = site.start("serve", "--port", "0", ORCHESTRATOR_DATASET_WATCH_SECONDS="0.5")
    url = service.wait_for_output(r'"service.ready"[^\n]*"url": "(http://[^"]+)"')

    site.write_chat("one-more", "Is it noticed?", "It is.")

    service.wait_for_output("(dataset.changed)")
    eventually(lambda: service.output().count('"plan.applied"') == 2, "the new run")

    (site.chats / "broken.json").write_text("[")
    service.wait_for_output("(accounts_file.refused)")
    eventually(lambda: site.status()["problem"], "the refusal in the status of another process")
    problem = site.status()["problem"]
    assert problem == HTTP.get(f"{url.rstrip('/')}/status").json()["problem"]
    assert "broken.json:1" in problem["message"]
    shown = site.run("status").out
    assert "broken.json:1" in shown.split("run ")[0]  # above the table
    assert problem["hint"] in shown

    (site.chats / "broken.json").unlink()
    site.write_chat("another", "And after a fault?", "Too.")
    eventually(lambda: service.output().count('"plan.applied"') == 3, "the run after the fault")
    eventually(lambda: site.status()["problem"] is None, "a status without the refusal")
    assert service.stop().code == 0
