"""Decides which fault rules apply to a request, reproducibly."""

# Theory of operation
#
# A rule (`Fault`) is a value: it says which accounts and operations it applies to, how often (`rate`, `times`), and
# with which parameters. `FaultInjector.draw` is called once per request and returns the faults that apply to it: at
# most one of each kind, and at most one that decides the response (EXCLUSIVE_FAULT_KINDS), because a request has one
# response.
#
# Random decisions are reproducible: each is a hash of the seed, the number of the rule, the account, the operation,
# and the number of earlier requests of that account for that operation. They do not depend on the order in which the
# requests of different accounts arrive, which changes from run to run.
#
# Some faults concern what a request creates and not the request itself (DEFERRED_FAULT_KINDS). They are stored with
# the file or job, and take effect when its later state is computed, also after a restart. Counters are in memory
# only: a restart of the sandbox resets them.

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from hashlib import blake2b

from msgspec import Struct, field
from msgspec.structs import replace

from orchestrator.sandbox.faults import EXCLUSIVE_FAULT_KINDS, MALFORMED_LISTS, Fault


class FaultInjector(Struct):
    """Holds the rules in force, and decides which faults apply to a request."""

    seed: int
    rules: tuple[Fault, ...] = ()
    fired: Counter[int] = field(default_factory=Counter)
    """Number of affected requests by the index of the rule."""
    _request_counts: Counter[tuple[int, str, str]] = field(default_factory=Counter)
    _replaced: asyncio.Event = field(default_factory=asyncio.Event)

    def replace(self, rules: Sequence[Fault]) -> None:
        """Replace all rules and reset all counters."""
        self.rules = tuple(rules)
        self.fired.clear()
        self._request_counts.clear()
        self._replaced.set()
        self._replaced = asyncio.Event()

    async def wait_until_removed(self, rule: Fault) -> None:
        """Wait until the rule is no longer in force."""
        while rule in self.rules:
            await self._replaced.wait()

    def draw(self, account: str, operation: str) -> dict[str, Fault]:
        """Return the faults that apply to this request by kind, and count them."""
        faults: dict[str, Fault] = {}
        for number, rule in enumerate(self.rules):
            is_excluded = rule.kind in faults or (
                rule.kind in EXCLUSIVE_FAULT_KINDS and not EXCLUSIVE_FAULT_KINDS.isdisjoint(faults)
            )
            if not is_excluded and rule.matches(account, operation) and self._fires(number, rule, account, operation):
                faults[rule.kind] = self._choose_malformed_list(number, rule, account, operation)
        return faults

    def _choose_malformed_list(self, number: int, rule: Fault, account: str, operation: str) -> Fault:
        """Return the rule with a malformed list chosen at random if it names none."""
        if rule.kind != "malformed_list" or rule.code:
            return rule
        nth = self._request_counts[number, account, operation]
        drawn = deterministic_random(self.seed, "malformed", number, account, operation, nth)
        return replace(rule, code=list(MALFORMED_LISTS)[int(drawn * len(MALFORMED_LISTS))])

    def _fires(self, number: int, rule: Fault, account: str, operation: str) -> bool:
        if rule.times is not None and self.fired[number] >= rule.times:
            return False
        self._request_counts[number, account, operation] += 1
        nth = self._request_counts[number, account, operation]
        if deterministic_random(self.seed, number, account, operation, nth) >= rule.rate:
            return False
        self.fired[number] += 1
        return True


def deterministic_random(*parts: object) -> float:
    """Return a number from 0 (included) to 1 (excluded) that depends on the parts only."""
    digest = blake2b(repr(parts).encode(), digest_size=6).digest()
    return int.from_bytes(digest, "big") / 2**48
