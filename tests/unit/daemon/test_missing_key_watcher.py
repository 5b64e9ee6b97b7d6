from __future__ import annotations

from orchestrator.core.account import Account, ProviderName
from orchestrator.daemon.missing_key_watcher import COMMAND_CHECK_SECONDS, MissingKeyWatcher

FILE, COMMAND = (
    Account(name=name, provider=ProviderName.OPENAI, api_key=reference)
    for name, reference in (("file", "file:key"), ("command", "cmd:vault read"))
)


class Keys:
    """Which accounts have a key, and how often each was looked for."""

    def __init__(self) -> None:
        self.available: set[str] = set()
        self.checked: list[str] = []
        self.now = 100.0

    def has_key(self, account: Account) -> bool:
        self.checked.append(account.name)
        return account.name in self.available


async def test_a_key_that_appears_is_reported_once() -> None:
    keys = Keys()
    watcher = MissingKeyWatcher(keys.has_key, lambda: keys.now)
    watcher.watch([FILE])
    assert await watcher.find_new_keys() == []
    keys.available.add("file")
    assert await watcher.find_new_keys() == ["file"]
    assert await watcher.find_new_keys() == [], "a reload that fails for another reason is not repeated"
    watcher.watch([FILE])
    assert await watcher.find_new_keys() == ["file"]


async def test_key_command_is_run_at_intervals_only() -> None:
    keys = Keys()
    watcher = MissingKeyWatcher(keys.has_key, lambda: keys.now)
    watcher.watch([FILE, COMMAND])
    for _ in range(9):
        await watcher.find_new_keys()
    assert (keys.checked.count("file"), keys.checked.count("command")) == (9, 0)
    keys.now += COMMAND_CHECK_SECONDS
    keys.available.add("command")
    assert await watcher.find_new_keys() == ["command"]
    assert keys.checked.count("command") == 1


async def test_no_lookup_when_every_account_has_a_key() -> None:
    keys = Keys()
    watcher = MissingKeyWatcher(keys.has_key, lambda: keys.now)
    assert await watcher.find_new_keys() == []
    assert keys.checked == []
