"""How slots are divided among servers."""

from __future__ import annotations

import pytest

from orchestrator.dispatch.slot_allocator import SlotAllocator, single_server


def fill(shares: SlotAllocator, *servers: str) -> dict[str, int]:
    """Everyone takes in turn until nobody gets anything."""
    got = dict.fromkeys(servers, 0)
    while True:
        taken = [server for server in servers if shares.acquire(f"{server}/{got[server]}")]
        for server in taken:
            got[server] += 1
        if not taken:
            return got


def server(account: str) -> str:
    return account.partition("/")[0]


def test_a_single_server_may_have_every_slot() -> None:
    shares = SlotAllocator(50, single_server)
    assert fill(shares, "only") == {"only": 50}


def test_a_slow_server_leaves_slots_for_others() -> None:
    shares = SlotAllocator(50, server)
    assert fill(shares, "slow") == {"slow": 40}
    assert shares.acquire("good/0")


@pytest.mark.parametrize("number", range(1, 11))
def test_new_server_finds_a_slot_among_slow_servers(number: int) -> None:
    shares = SlotAllocator(50, server)
    fill(shares, *(f"slow-{n}" for n in range(number)))
    assert shares.acquire("good/0")


@pytest.mark.parametrize("most", [1, 2, 3])
def test_small_slot_counts_are_used_fully(most: int) -> None:
    """A server never waits while no slot is in use."""
    shares = SlotAllocator(most, server)
    assert shares.acquire("a/0")
    shares.release("a/0")
    assert shares.free_slots == most


def test_released_slot_can_be_acquired_again() -> None:
    leads = {"a": "one", "b": "one"}
    shares = SlotAllocator(2, leads.get)
    assert shares.acquire("a")
    leads["a"] = "other"
    shares.release("a")
    assert shares.free_slots == 2
    assert shares.acquire("b")
