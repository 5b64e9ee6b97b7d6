"""The verdict on each account, and the gate that follows from all verdicts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final

from orchestrator.core.comparison.comparability import Obstacle
from orchestrator.core.comparison.measurement import Conclusion, Measurement
from orchestrator.core.comparison.reasons import format_reason
from orchestrator.core.structs import Struct


class ComparisonVerdict(StrEnum):
    """The verdict on one account. These values are stored and are part of the API."""

    ALIKE = "alike"
    DIFFERENT = "different"
    NOT_SURE = "not_sure"
    NOT_COMPARABLE = "not_comparable"


VERDICT_DESCRIPTIONS: Final[Mapping[ComparisonVerdict, tuple[str, str]]] = {
    ComparisonVerdict.DIFFERENT: (
        "At least one measured difference is certainly beyond its margin.",
        "Read the answers to the three probes that show it best, then train the account again or accept its model.",
    ),
    ComparisonVerdict.NOT_COMPARABLE: (
        "Something other than the training differs, so the answers prove nothing about it.",
        "Remove the difference that is named, for example an added system prompt, and compare again.",
    ),
    ComparisonVerdict.NOT_SURE: (
        "There are too few probes to decide, or the answers of the model differ from one call to the next.",
        "Compare again with more probes.",
    ),
    ComparisonVerdict.ALIKE: ("Every measured difference is certainly within its margin.", ""),
}
"""Meaning and next step of each verdict."""

FAILING_VERDICTS = frozenset({ComparisonVerdict.DIFFERENT, ComparisonVerdict.NOT_COMPARABLE})


class AccountVerdict(Struct, frozen=True, kw_only=True):
    """The verdict on one account with everything that it rests on."""

    account: str
    verdict: ComparisonVerdict
    measurements: tuple[Measurement, ...] = ()
    obstacle: Obstacle | None = None
    is_unsteady: bool = False  # its answers differ between rounds far more than those of the others
    is_alone: bool = False  # no other account of its group: compared by quality and rates only
    needed_probes: int | None = None  # that would decide, of a verdict NOT_SURE; None: unknown
    accepted_by: str | None = None  # operator who accepted the account despite its verdict

    @property
    def decisive(self) -> tuple[Measurement, ...]:
        """The measurements that led to the verdict: of a different account its differences."""
        wanted = {
            ComparisonVerdict.DIFFERENT: Conclusion.DIFFERENT,
            ComparisonVerdict.NOT_SURE: Conclusion.UNSURE,
        }.get(self.verdict)
        return tuple(each for each in self.measurements if each.conclusion is wanted)

    @property
    def reasons(self) -> tuple[str, ...]:
        """The reasons as sentences without a subject: "refuses 12 % of the probes, the others 1 %"."""
        return tuple(format_reason(part) for part in (self.obstacle, *self.decisive) if part is not None) + (
            ("answers differ between two rounds far more than those of the other accounts",)
            if self.is_unsteady
            else ()
        )


def decide_verdict(
    account: str,
    measurements: Sequence[Measurement],
    *,
    obstacle: Obstacle | None = None,
    is_unsteady: bool = False,
    is_alone: bool = False,
) -> AccountVerdict:
    """Decide on one account. A difference counts more than a doubt, and alike means that no doubt is left."""
    conclusions = {each.conclusion for each in measurements}
    if obstacle is not None:
        verdict = ComparisonVerdict.NOT_COMPARABLE
    elif Conclusion.DIFFERENT in conclusions:
        verdict = ComparisonVerdict.DIFFERENT
    elif Conclusion.UNSURE in conclusions or is_unsteady or not measurements:
        verdict = ComparisonVerdict.NOT_SURE
    else:
        verdict = ComparisonVerdict.ALIKE
    return AccountVerdict(
        account=account,
        verdict=verdict,
        measurements=tuple(measurements),
        obstacle=obstacle,
        is_unsteady=is_unsteady,
        is_alone=is_alone,
        needed_probes=_count_needed_probes(measurements) if verdict is ComparisonVerdict.NOT_SURE else None,
    )


def _count_needed_probes(measurements: Sequence[Measurement]) -> int | None:
    """Return the number that decides every measurement in doubt, or None if one of them stays in doubt."""
    needed = [each.needed_probes for each in measurements if each.conclusion is Conclusion.UNSURE]
    known = [each for each in needed if each is not None]
    return max(known) if known and len(known) == len(needed) else None


class ComparisonGate(Struct, frozen=True):
    """What follows from the verdicts: which models may be used, and how the command ends."""

    verdicts: tuple[AccountVerdict, ...]

    @property
    def passing_accounts(self) -> tuple[str, ...]:
        """The accounts whose models the exports hold: those that are alike, and those that an operator accepted."""
        return tuple(
            each.account
            for each in self.verdicts
            if each.verdict is ComparisonVerdict.ALIKE or each.accepted_by is not None
        )

    @property
    def is_passed(self) -> bool:
        """Whether no account is different or not comparable, unless accepted. A doubt does not fail the gate."""
        return not any(each.verdict in FAILING_VERDICTS and each.accepted_by is None for each in self.verdicts)

    @property
    def exit_code(self) -> int:
        """The exit code of the command: 0 if passed, else 1."""
        return 0 if self.is_passed else 1

    def format_sentence(self) -> str:
        """Return the result of the run in one sentence, with the first reason of each failing account."""
        counts = Counter(each.verdict for each in self.verdicts)
        parts = [f"{counts[ComparisonVerdict.ALIKE]} of {len(self.verdicts)} alike"]
        if counts[ComparisonVerdict.NOT_SURE]:
            parts.append(f"{counts[ComparisonVerdict.NOT_SURE]} not sure")
        for each in self.verdicts:
            if each.verdict in FAILING_VERDICTS:
                parts.append(f"{each.account} {each.reasons[0]}")
        return "; ".join(parts)
