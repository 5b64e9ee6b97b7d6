"""The fields of a confirmation dialog, as the link that opens it and its form send them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from itertools import chain
from math import isfinite
from typing import Final, Self, TypeVar
from urllib.parse import parse_qs

from orchestrator.core.structs import Struct
from orchestrator.web.auth.login import LOCAL_PATH_PATTERN
from orchestrator.web.problem import ProblemError

INVALID_ACTION: Final = (422, "Unknown or incomplete action.", "Go back to the page and try again.")
_Action = TypeVar("_Action", bound=StrEnum)


class ActionForm(Struct, frozen=True):
    """Values of the fields by name, as typed."""

    fields: Mapping[str, Sequence[str]]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a query string or form body. Raises ProblemError (422) for values that no database can store."""
        fields = parse_qs(text)
        if "\0" in "".join(chain(*fields.values())):  # PostgreSQL cannot store NUL
            raise ProblemError(*INVALID_ACTION)
        return cls(fields)

    @property
    def first_values(self) -> dict[str, str]:
        """The first value of each field."""
        return {name: values[0] for name, values in self.fields.items()}

    def get(self, name: str) -> str:
        """Return the first value of the field; empty if there is none."""
        return self.fields.get(name, ("",))[0]

    def get_all(self, name: str) -> tuple[str, ...]:
        """Return all values of the field."""
        return tuple(self.fields.get(name, ()))

    def get_action(self, actions: type[_Action]) -> _Action:
        """Return what is to be done. Raises ProblemError (422) if it is none of `actions`."""
        try:
            return actions(self.get("verb"))
        except ValueError:
            raise ProblemError(*INVALID_ACTION) from None

    def get_back(self, default: str) -> str:
        """Return the page to return to, a path on this host."""
        back = self.get("back")
        return back if LOCAL_PATH_PATTERN.fullmatch(back) else default

    @property
    def expected_count(self) -> int:
        """How many objects the dialog has shown; -1 if it is unknown, which no selection equals."""
        return self.parse_count("expect", -1)

    def parse_count(self, name: str, default: int) -> int:
        """Return a number that the dialog has shown, or the default if the field has none."""
        text = self.get(name)
        return int(text) if text.isascii() and text.isdigit() and len(text) < 9 else default

    @property
    def expected_usd(self) -> float | None:
        """The price that the dialog has shown; None: it is unknown. Raises ProblemError (422) if it is no number."""
        try:
            price = float(self.get("usd") or "nan")
        except ValueError:
            raise ProblemError(*INVALID_ACTION) from None
        return price if isfinite(price) else None


def parse_number(text: str, problem: str, hint: str) -> float:
    """Parse a typed number of at least 0. Raises ProblemError (422)."""
    try:
        number = float(text.replace(",", "."))
    except ValueError:
        number = -1.0
    if not isfinite(number) or number < 0:
        raise ProblemError(422, f"{problem}, not {text!r}.", hint)
    return number


def parse_whole_number(text: str, problem: str, hint: str, *, limits: range = range(10**6)) -> int:
    """Parse a typed whole number within `limits`. Raises ProblemError (422)."""
    if not (text.isascii() and text.isdigit() and len(text) < 7 and int(text) in limits):
        raise ProblemError(422, f"{problem}, not {text!r}.", hint)
    return int(text)
