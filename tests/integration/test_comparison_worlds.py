"""Verdicts on the models of a sandbox with a known truth. `benchmarks/comparison.py` measures many such worlds."""

from __future__ import annotations

from collections.abc import Mapping

import httpx2
import pytest
from sandbox_worlds import AskedWorld, SandboxWorlds

from orchestrator.core.comparison.comparator import compare_models
from orchestrator.core.comparison.measurement import MeasurementKind
from orchestrator.core.comparison.verdict import ComparisonVerdict
from orchestrator.providers.http.client import HttpClient
from orchestrator.sandbox import SandboxSettings, create_app

ALIKE, DIFFERENT = ComparisonVerdict.ALIKE, ComparisonVerdict.DIFFERENT
NOT_SURE = ComparisonVerdict.NOT_SURE
ORDINARY = ("acme-eu", "acme-us", "globex", "initech")
CHANGED = {"equal": 0.0, "changed-40": 0.4, "changed-70": 0.7}


class VirtualClock:
    """Time that passes only while a training is waited for."""

    now = 1_790_000_000.0

    async def sleep(self, seconds: float) -> None:
        self.now += seconds + 10


async def ask_worlds(
    *seeds: int, changed: Mapping[str, float] = CHANGED, option: str = "changed"
) -> list[AskedWorld]:
    clock = VirtualClock()
    http = HttpClient(httpx2.ASGITransport(create_app(SandboxSettings(), clock=lambda: clock.now)))
    worlds = SandboxWorlds(http, "http://localhost/v1", sleep=clock.sleep)
    await worlds.prepare(ORDINARY, changed, option=option)
    return [await worlds.ask_world(seed, 60) for seed in seeds]


@pytest.mark.parametrize("seed", [1, 2])
async def test_changed_account_is_in_doubt_with_few_probes_and_never_called_alike(seed: int) -> None:
    (world,) = await ask_worlds(seed)
    for accounts in (1, 2, 4):
        for probes in (15, 30, 60):
            for account, share in CHANGED.items():
                given = world.create_input([*ORDINARY[:accounts], account], probes)
                *others, last = (each.verdict for each in compare_models(given).gate.verdicts)
                if share:
                    assert last in {NOT_SURE, DIFFERENT}
                if share == 0.7 and probes == 60:
                    assert last is DIFFERENT
                if not share:
                    assert last in ({NOT_SURE} if probes == 15 else {NOT_SURE, ALIKE})
                if accounts > 1:  # of two accounts nothing tells which one is unusual
                    assert DIFFERENT not in others


async def test_account_that_answers_in_another_language_is_named_for_it() -> None:
    (world,) = await ask_worlds(3, changed={"german": 0.4}, option="other_language")
    *others, last = compare_models(world.create_input([*ORDINARY, "german"], 60)).gate.verdicts
    assert last.verdict is DIFFERENT
    assert last.reasons[0].startswith("answers ")
    assert last.reasons[0].endswith(" of the probes in another language than expected, the others 0%")
    assert DIFFERENT not in {each.verdict for each in others}
    (equal,) = [each for each in others if each.account == ORDINARY[0]]
    assert MeasurementKind.WRONG_LANGUAGE in {each.kind for each in equal.measurements}
    assert all(len(each.probe_ids) == 3 for each in last.decisive)
