"""Confirm: what an action would do, to how many and at what price, before a person agrees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Final, Literal, Self
from urllib.parse import parse_qs, urlencode

from orchestrator.core.errors import Failure
from orchestrator.core.selection import Selection
from orchestrator.core.verb import OF_RUN, Verb
from orchestrator.status import Asked, Glance
from orchestrator.web.login import OURS
from orchestrator.web.problem import Refused
from orchestrator.web.query import Query
from orchestrator.web.wording import plural, usd

Reason = Literal["none", "optional", "required"]
NAMED: Final = 5
_NOT_UNDERSTOOD: Final = (422, "the action is not understood", "Go back to the page and try again.")

_OF_ACCOUNTS: Final[Mapping[Verb, str]] = {
    Verb.RETRY: "Each failed job starts again as a new remote job, and is paid for again.",
    Verb.CANCEL: (
        "What waits is given up, what runs is asked to stop. What was trained so far may still be billed, "
        "and a cancelled job does not start again in this run."
    ),
    Verb.HOLD: "Nothing more is sent for these accounts until they are released. What runs at a provider goes on.",
    Verb.RELEASE: "Their keys are verified anew, and their jobs go on.",
}
_NONE: Final[Mapping[Verb, str]] = {
    Verb.RETRY: "None of them has failed: there is nothing to retry.",
    Verb.CANCEL: "All of them have ended: there is nothing to cancel.",
    Verb.HOLD: "No account matches: there is nothing to hold.",
    Verb.RELEASE: "None of them is held by something that a release lifts.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What someone wants to do: a verb, of the run or of whom. `back` is the page they came from.

    `job` and `remote_job` are for an adoption; `deliveries` are what is told again, or all where there are none.
    """

    verb: Verb
    query: Query = field(default_factory=Query)
    accounts: tuple[str, ...] = ()
    deliveries: tuple[int, ...] = ()
    back: str = "/"
    reason: str = ""
    job: str = ""
    remote_job: str = ""
    expect: int = 0
    expect_usd: float | None = None

    @classmethod
    def of(cls, text: str) -> Self:
        """From an address or a form. Raises `Refused` for a verb there is not."""
        fields = parse_qs(text)
        if "\0" in "".join(chain(*fields.values())):  # PostgreSQL does not store it
            raise Refused(*_NOT_UNDERSTOOD)
        first = {name: values[0] for name, values in fields.items()}
        try:
            verb, price = Verb(first.get("verb", "")), float(first["usd"]) if first.get("usd") else None
            deliveries = tuple(map(_number, fields.get("delivery", ())))
        except ValueError:
            raise Refused(*_NOT_UNDERSTOOD) from None
        back, expect = first.get("back", "/"), first.get("expect", "")
        return cls(
            verb=verb,
            query=Query.of(first),
            accounts=tuple(fields.get("account", ())),
            deliveries=deliveries,
            back=back if OURS.fullmatch(back) else "/",
            reason=first.get("reason", "").strip()[:1000],
            job=first.get("job", ""),
            remote_job=first.get("remote_job", "").strip()[:200],
            expect=int(expect) if expect.isascii() and expect.isdigit() and len(expect) < 9 else 0,
            expect_usd=price,
        )

    @property
    def selection(self) -> Selection:
        """Those that are named, else all that match."""
        return Selection(accounts=self.accounts) if self.accounts else self.query.selection

    @property
    def of_run(self) -> bool:
        """Whether it is asked of the run as a whole."""
        return self.verb in OF_RUN

    @property
    def fields(self) -> tuple[tuple[str, str], ...]:
        """What the form must bring back."""
        listed = [("account", name) for name in self.accounts]
        listed += [("delivery", str(number)) for number in self.deliveries]
        job = [("job", self.job)] if self.job else []
        return (("verb", self.verb), ("back", self.back), *self.query.but(page=1).values.items(), *listed, *job)


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The dialog. Without a `button` there is nothing to agree to. `price` is None where no money is concerned."""

    ask: Ask
    title: str
    text: str
    price: str | None = None
    whom: str = ""
    button: str | None = None
    danger: bool = False
    reason: Reason = "none"
    problem: Failure | None = None

    def after(self, refused: Refused) -> View:
        """The same, once more, because what was agreed to has changed."""
        return replace(self, problem=Failure("refused", refused.detail, refused.hint))


def of_accounts(ask: Ask, asked: Asked) -> View:
    """What a verb would do to accounts."""
    ask = replace(ask, expect=len(asked.accounts))
    if not asked.accounts:
        return View(ask=ask, title=f"Nothing to {ask.verb}", text=_NONE[ask.verb])
    what = f"{ask.verb.capitalize()} {plural(len(asked.accounts), 'account')}"
    return View(
        ask=ask,
        title=f"{what}?",
        text=_OF_ACCOUNTS[ask.verb],
        price=_price(asked) if ask.verb in {Verb.RETRY, Verb.RELEASE} else None,
        whom=_named(asked.accounts),
        button=what,
        danger=ask.verb is Verb.CANCEL,
        reason="optional" if ask.verb is Verb.HOLD else "none",
    )


def of_choice(ask: Ask) -> View:
    """Which remote job is a job's, where a person must choose."""
    text = "The remote job with this id is taken over, once the provider has shown that it can be this account's."
    return View(ask=ask, title="Which remote job is it?", text=text, button="Adopt")


def of_deliveries(ask: Ask, dead: int) -> View:
    """How many deliveries would be begun again."""
    ask = replace(ask, expect=dead)
    if not dead:
        return View(ask=ask, title="Nothing to tell again", text="None of them was given up.")
    what = f"Tell {plural(dead, 'message')} again"
    text = "Each is sent at once, and where that fails tried again for about a day."
    return View(ask=ask, title=f"{what}?", text=text, button=what)


def of_run(ask: Ask, seen: Glance | None) -> View:
    """What a verb would do to the run."""
    if seen is None:
        return View(ask=ask, title="No run yet", text="There is nothing to decide.")
    planned = seen.run.planned_usd
    ask = replace(ask, expect_usd=planned)
    price = "unknown: no price is known for a part of it" if planned is None else usd(planned)
    if ask.verb is Verb.WAIVE:
        text = "The chats go to the providers without a moderation of ours. Your reason stays in the run's record."
        return View(ask=ask, title="Go on without moderation?", text=text, button="Waive", reason="required")
    if ask.verb is Verb.START:
        text = "The jobs whose files are ready are submitted and paid for."
        return View(ask=ask, title="Start the training?", text=text, price=price, button="Start")
    text = "The run goes on in spite of what holds it. The approval covers a price up to the one it has now."
    return View(ask=ask, title=f"Approve {seen.run.name}?", text=text, price=price, button="Approve")


def done(ask: Ask, names: Sequence[str]) -> str:
    """What is said when it was asked."""
    if ask.of_run:
        return {Verb.APPROVE: "The run is approved", Verb.WAIVE: "Moderation is waived"}.get(ask.verb, "Started")
    if ask.verb is Verb.REDELIVER:
        return f"Telling {plural(len(names), 'message')} again"
    past = {
        Verb.ADOPT: "Adopting for",
        Verb.RETRY: "Retrying",
        Verb.CANCEL: "Cancelling",
        Verb.HOLD: "Holding",
        Verb.RELEASE: "Releasing",
    }
    return f"{past[ask.verb]} {plural(len(names), 'account')}"


def href(
    verb: Verb,
    query: Query | None,
    back: str,
    accounts: Sequence[str] = (),
    job: str = "",
    deliveries: Sequence[int] = (),
) -> str:
    """The address of the dialog."""
    whom = Ask(verb=verb, query=query or Query(), accounts=tuple(accounts), deliveries=tuple(deliveries))
    ask = replace(whom, back=back, job=job)
    return "/confirm?" + urlencode(ask.fields)


def _number(text: str) -> int:
    """Raises ValueError for what is no number of a delivery."""
    if not 0 < (number := int(text)) < 2**31:
        raise ValueError(text)
    return number


def _price(asked: Asked) -> str:
    more = f", and {plural(asked.unpriced, 'job')} without a known price" if asked.unpriced else ""
    return usd(asked.usd) + more


def _named(accounts: Sequence[str]) -> str:
    more = len(accounts) - NAMED
    return ", ".join(accounts[:NAMED]) + (f" and {more:,} more" if more > 0 else "")
