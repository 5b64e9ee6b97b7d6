"""Verdicts and the gate: a difference outweighs a doubt, a doubt outweighs agreement, and only failures fail."""

from __future__ import annotations

import pytest

from orchestrator.core.comparison.comparability import Obstacle
from orchestrator.core.comparison.interval import Interval
from orchestrator.core.comparison.measurement import Conclusion, Measurement, MeasurementKind
from orchestrator.core.comparison.verdict import AccountVerdict, ComparisonGate, ComparisonVerdict, decide_verdict
from orchestrator.core.structs import replace

ALIKE, DIFFERENT = ComparisonVerdict.ALIKE, ComparisonVerdict.DIFFERENT
NOT_SURE, NOT_COMPARABLE = ComparisonVerdict.NOT_SURE, ComparisonVerdict.NOT_COMPARABLE
SAME = Measurement(
    kind=MeasurementKind.LENGTH,
    interval=Interval(-0.02, 0.04, 0.10, 100),
    margin=0.2,
    conclusion=Conclusion.SAME,
    own=1.04,
    others=1.0,
)
REFUSING = replace(
    SAME, kind=MeasurementKind.REFUSED, margin=0.1, conclusion=Conclusion.DIFFERENT, own=0.25, others=0.01
)
# Half of the width is 0.06. The margin is 0.04 away, so (0.06 / 0.04)² = 2.25 times 100 probes decide.
DOUBTFUL = replace(SAME, kind=MeasurementKind.QUALITY, margin=0.08, conclusion=Conclusion.UNSURE)
MORE_DOUBTFUL = replace(DOUBTFUL, margin=0.05)  # 0.01 away: 36 times as many
UNDECIDABLE = replace(DOUBTFUL, margin=0.04)  # the estimate is at the margin


def create_verdict(account: str, verdict: ComparisonVerdict, accepted_by: str | None = None) -> AccountVerdict:
    return AccountVerdict(
        account=account,
        verdict=verdict,
        measurements=(REFUSING,),
        obstacle=Obstacle.ERRORS if verdict is NOT_COMPARABLE else None,
        accepted_by=accepted_by,
    )


@pytest.mark.parametrize(
    ("measurements", "verdict"),
    [
        ([SAME, SAME], ALIKE),
        ([SAME, DOUBTFUL], NOT_SURE),
        ([DOUBTFUL, REFUSING, SAME], DIFFERENT),
        ([SAME, REFUSING], DIFFERENT),
        ([], NOT_SURE),
    ],
)
def test_difference_outweighs_a_doubt_and_alike_leaves_no_doubt(
    measurements: list[Measurement], verdict: ComparisonVerdict
) -> None:
    found = decide_verdict("acme", measurements)
    assert (found.account, found.verdict, found.measurements) == ("acme", verdict, tuple(measurements))
    assert (found.is_unsteady, found.is_alone, found.obstacle, found.accepted_by) == (False, False, None, None)


def test_obstacle_outweighs_every_measurement() -> None:
    found = decide_verdict("acme", [REFUSING], obstacle=Obstacle.SERVING, is_alone=True)
    assert (found.verdict, found.obstacle, found.is_alone) == (NOT_COMPARABLE, Obstacle.SERVING, True)
    assert found.reasons == ("is served with another base model or precision",)
    assert found.decisive == ()


def test_unsteady_account_is_in_doubt_but_may_be_different() -> None:
    found = decide_verdict("acme", [SAME], is_unsteady=True)
    assert (found.verdict, found.needed_probes) == (NOT_SURE, None)
    assert found.reasons == ("answers differ between two rounds far more than those of the other accounts",)
    different = decide_verdict("acme", [REFUSING], is_unsteady=True)
    assert different.verdict is DIFFERENT
    assert different.reasons[0] == "refuses 25% of the probes, the others 1%"
    assert len(different.reasons) == 2


@pytest.mark.parametrize(
    ("measurements", "needed"),
    [
        ([SAME, DOUBTFUL], 225),
        ([DOUBTFUL, MORE_DOUBTFUL], 3600),
        ([DOUBTFUL, UNDECIDABLE], None),
        ([UNDECIDABLE], None),
        ([DOUBTFUL, REFUSING], None),  # it is decided already
        ([SAME], None),
        ([], None),
    ],
)
def test_needed_probes_decide_every_doubt(measurements: list[Measurement], needed: int | None) -> None:
    assert decide_verdict("acme", measurements).needed_probes == needed


def test_decisive_measurements_are_those_of_the_verdict() -> None:
    assert decide_verdict("acme", [SAME, DOUBTFUL, REFUSING]).decisive == (REFUSING,)
    assert decide_verdict("acme", [SAME, DOUBTFUL, MORE_DOUBTFUL]).decisive == (DOUBTFUL, MORE_DOUBTFUL)
    assert decide_verdict("acme", [SAME]).decisive == ()


@pytest.mark.parametrize(
    ("verdict", "accepted_by", "passes", "fails"),
    [
        (ALIKE, None, True, False),
        (NOT_SURE, None, False, False),
        (DIFFERENT, None, False, True),
        (NOT_COMPARABLE, None, False, True),
        (NOT_SURE, "ann", True, False),
        (DIFFERENT, "ann", True, False),
        (NOT_COMPARABLE, "ann", True, False),
    ],
)
def test_gate_fails_for_an_unaccepted_failure_only_and_exports_nothing_in_doubt(
    verdict: ComparisonVerdict, accepted_by: str | None, passes: bool, fails: bool
) -> None:
    gate = ComparisonGate((create_verdict("one", ALIKE), create_verdict("two", verdict, accepted_by)))
    assert gate.passing_accounts == (("one", "two") if passes else ("one",))
    assert (gate.is_passed, gate.exit_code) == (not fails, 1 if fails else 0)


def test_gate_without_accounts_is_passed() -> None:
    assert (ComparisonGate(()).is_passed, ComparisonGate(()).passing_accounts) == (True, ())


def test_sentence_counts_the_verdicts_and_names_each_failing_account() -> None:
    verdicts = [
        create_verdict("one", ALIKE),
        create_verdict("two", DIFFERENT),
        create_verdict("three", NOT_SURE),
        create_verdict("four", NOT_COMPARABLE),
        create_verdict("five", NOT_SURE),
    ]
    assert ComparisonGate(tuple(verdicts)).format_sentence() == (
        "1 of 5 alike; 2 not sure; two refuses 25% of the probes, the others 1%; "
        "four failed in more than 5 % of the calls"
    )
    assert ComparisonGate(tuple(verdicts[:1])).format_sentence() == "1 of 1 alike"
