"""`serve` notices chats that change, as it notices the accounts file."""

from __future__ import annotations

from processes import Site, eventually


def test_a_changed_chat_is_a_new_run_and_a_refused_one_is_shown(site: Site) -> None:
    site.accounts("a")
    service = site.start("serve", "--port", "0", ORCHESTRATOR_DATASET_WATCH_SECONDS="0.5")
    service.find("(service.ready)")

    site.chat("one-more", "Is it noticed?", "It is.")

    service.find("(dataset.changed)")
    eventually(lambda: service.said().count('"run.current"') == 2, "the new run")

    (site.chats / "broken.json").write_text("[")
    service.find("(accounts_file.refused)")
    (site.chats / "broken.json").unlink()
    site.chat("another", "And after a fault?", "Too.")
    eventually(lambda: service.said().count('"run.current"') == 3, "the run after the fault")
    assert service.stop().code == 0
