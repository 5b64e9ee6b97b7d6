"""Faults: what goes wrong, for whom, how often. A rule is a value; `gate.py` is the one place that applies it.

| kind | what happens | where, unless told | `seconds` |
|---|---|---|---|
| rate_limit | 429 `rate_limit_exceeded` | everywhere | Retry-After, 1 |
| server_error | 500, nothing done | everywhere | |
| drop | connection closed, nothing done | everywhere | |
| lose_answer | **done, then** the connection is closed | everywhere | |
| truncate | done, half of the body, then closed | everywhere | |
| slow | answers later | everywhere | how much later, 5 |
| stall | answers once this rule is no longer in force | everywhere | |
| forbidden | 403: may not train | jobs.create | |
| quota | 429 `insufficient_quota` | jobs.create | |
| daily_limit | 429 `daily_rate_limit_exceeded` | jobs.create | Retry-After, if above 0 |
| too_many_jobs | 429 while all slots are taken | jobs.create | Retry-After, if above 0 |
| file_not_ready | 400 `file_not_ready` until the job's files are processed, as Azure does | jobs.create | |
| reject_file | the file ends in status `error` | files.create | |
| fail_job | the job fails in training (`code`, `message`) | jobs.create | after so much training, half of it |
| no_model_id | succeeded, the model id comes later | jobs.create | how much later, 5 |
| unknown_status | says `reviewing` before `succeeded` | jobs.create | how long, 5 |
| vanish | the job is gone | jobs.create | after so long, 0 |
| ignore_metadata_filter | lists every job | jobs.list | |
| page_size | pages of at most `size` | lists | |
| list_lag | what was made lately is not listed yet | files.list, jobs.list | how lately, 2 |
| null_error | healthy jobs carry an `error` whose fields are null | jobs.* that show a job | |
| drop_result | one result fewer than inputs | moderations.create | |
| twice | a webhook is sent twice | webhooks.send | |
| forged | a webhook is signed by somebody else | webhooks.send | |
| stuck_cursor | the same page again and again, always `has_more` | lists | |
| malformed_list | 200, but no list: what `code` names in `malformed.py`, or any of it | lists | |

`quota` and `forbidden` may be put on any operation by naming it, and `slow`, `stall` and `drop` on `webhooks.send`.
Chance is drawn from the seed, the rule, the account, the operation and how often that account asked for it, so a run
repeats itself however its requests interleave. Counts live in memory: a restart of the sandbox begins them again.
"""

from __future__ import annotations

import asyncio
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from difflib import get_close_matches
from fnmatch import fnmatchcase
from hashlib import blake2b
from pathlib import Path
from typing import Any

from orchestrator.sandbox.malformed_lists import MALFORMED_LISTS

OPERATIONS = (
    "files.create",
    "files.list",
    "files.retrieve",
    "files.delete",
    "files.content",
    "jobs.create",
    "jobs.list",
    "jobs.retrieve",
    "jobs.cancel",
    "jobs.pause",
    "jobs.resume",
    "jobs.events",
    "jobs.checkpoints",
    "models.list",
    "models.retrieve",
    "models.delete",
    "moderations.create",
    "chat.create",
    "responses.create",
    "uploads.create",
    "uploads.part",
    "uploads.complete",
    "uploads.cancel",
    "webhooks.send",
)
WEBHOOK_OPERATION = "webhooks.send"  # the only one that is no request
MATCH_ALL = ("*",)
LIST_OPERATIONS = ("files.list", "jobs.list", "jobs.events", "jobs.checkpoints")
JOB_OPERATIONS = ("jobs.create", "jobs.retrieve", "jobs.list", "jobs.cancel", "jobs.pause", "jobs.resume")
FILE_CREATION_OPERATIONS = ("files.create", "uploads.complete")
JOB_CREATION_OPERATIONS = ("jobs.create",)


@dataclass(frozen=True, slots=True)
class FaultKind:
    """Where a kind of fault may strike, where it does unless told, and what its `seconds` are by default."""

    allowed_operations: tuple[str, ...] = MATCH_ALL
    default_operations: tuple[str, ...] = ()
    default_seconds: float = 0.0


FAULT_KINDS = {
    "rate_limit": FaultKind(default_seconds=1.0),
    "server_error": FaultKind(),
    "drop": FaultKind(),
    "lose_answer": FaultKind(),
    "truncate": FaultKind(),
    "slow": FaultKind(default_seconds=5.0),
    "stall": FaultKind(),
    "forbidden": FaultKind(default_operations=JOB_CREATION_OPERATIONS),
    "quota": FaultKind(default_operations=JOB_CREATION_OPERATIONS),
    "daily_limit": FaultKind(JOB_CREATION_OPERATIONS),
    "too_many_jobs": FaultKind(JOB_CREATION_OPERATIONS),
    "file_not_ready": FaultKind(JOB_CREATION_OPERATIONS),
    "reject_file": FaultKind(FILE_CREATION_OPERATIONS),
    "fail_job": FaultKind(JOB_CREATION_OPERATIONS),
    "no_model_id": FaultKind(JOB_CREATION_OPERATIONS, default_seconds=5.0),
    "unknown_status": FaultKind(JOB_CREATION_OPERATIONS, default_seconds=5.0),
    "vanish": FaultKind(JOB_CREATION_OPERATIONS),
    "ignore_metadata_filter": FaultKind(("jobs.list",)),
    "list_lag": FaultKind(("files.list", "jobs.list"), default_seconds=2.0),
    "null_error": FaultKind(JOB_OPERATIONS),
    "page_size": FaultKind(LIST_OPERATIONS),
    "twice": FaultKind((WEBHOOK_OPERATION,)),
    "forged": FaultKind((WEBHOOK_OPERATION,)),
    "drop_result": FaultKind(("moderations.create",)),
    "stuck_cursor": FaultKind(LIST_OPERATIONS),
    "malformed_list": FaultKind(LIST_OPERATIONS),
}
EXCLUSIVE_FAULT_KINDS = frozenset(
    {"rate_limit", "server_error", "drop", "lose_answer", "truncate", "forbidden", "quota", "daily_limit"}
)
DEFERRED_FAULT_KINDS = frozenset({"reject_file", "fail_job", "no_model_id", "unknown_status", "vanish"})


class FaultError(ValueError):
    """A fault rule cannot be understood; the message names every one, a line each."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One rule. `accounts` and `operations` are names or patterns (`files.*`); none means the kind's usual ones."""

    kind: str
    rate: float = 1.0
    accounts: tuple[str, ...] = ()
    operations: tuple[str, ...] = ()
    times: int | None = None
    seconds: float | None = None
    size: int = 1
    code: str = ""
    message: str = ""

    @property
    def wait_seconds(self) -> float:
        """`seconds`, or what is usual for this kind."""
        return FAULT_KINDS[self.kind].default_seconds if self.seconds is None else self.seconds

    def matches(self, account: str, operation: str) -> bool:
        """Whether this rule is about that request at all."""
        kind = FAULT_KINDS[self.kind]
        if operation == WEBHOOK_OPERATION and WEBHOOK_OPERATION not in (*self.operations, *kind.allowed_operations):
            return False
        where = self.operations or kind.default_operations or kind.allowed_operations
        whom = self.accounts or MATCH_ALL
        return (
            _matches_any(operation, kind.allowed_operations)
            and _matches_any(operation, where)
            and _matches_any(account, whom)
        )

    def list_problems(self) -> list[str]:
        """What is wrong with it, in words."""
        if self.kind not in FAULT_KINDS:
            return [
                f"unknown kind {self.kind!r}{_format_suggestion(self.kind, FAULT_KINDS)}; "
                f"known: {', '.join(FAULT_KINDS)}"
            ]
        unknown = [p for p in self.operations if not any(fnmatchcase(o, p) for o in OPERATIONS)]
        checks = {
            f"unknown operation {unknown}; known: {', '.join(OPERATIONS)}": bool(unknown),
            f"rate must be from 0 to 1, not {self.rate}": not 0 <= self.rate <= 1,
            f"times must be 1 or more, not {self.times}": self.times is not None and self.times < 1,
            f"seconds must not be negative: {self.seconds}": self.wait_seconds < 0,
            f"size must be 1 or more, not {self.size}": self.size < 1,
            f"unknown code {self.code!r}; known: {', '.join(MALFORMED_LISTS)}": self.kind == "malformed_list"
            and self.code not in ("", *MALFORMED_LISTS),
        }
        return [f"{self.kind}: {problem}" for problem, wrong in checks.items() if wrong]


@dataclass(slots=True)
class FaultInjector:
    """The rules in force and how often each has struck."""

    seed: int
    rules: tuple[Fault, ...] = ()
    fired: Counter[int] = field(default_factory=Counter)
    _request_counts: Counter[tuple[int, str, str]] = field(default_factory=Counter)
    _replaced: asyncio.Event = field(default_factory=asyncio.Event)

    def replace(self, rules: Sequence[Fault]) -> None:
        """Put other rules in force; all counts begin again."""
        self.rules = tuple(rules)
        self.fired.clear()
        self._request_counts.clear()
        self._replaced.set()
        self._replaced = asyncio.Event()

    async def wait_until_removed(self, rule: Fault) -> None:
        """Return once other rules are in force and this one is not among them."""
        while rule in self.rules:
            await self._replaced.wait()

    def draw(self, account: str, operation: str) -> dict[str, Fault]:
        """The faults that strike this request, at most one of each kind and one that decides its answer."""
        struck: dict[str, Fault] = {}
        for number, rule in enumerate(self.rules):
            taken = rule.kind in struck or (
                rule.kind in EXCLUSIVE_FAULT_KINDS and not EXCLUSIVE_FAULT_KINDS.isdisjoint(struck)
            )
            if not taken and rule.matches(account, operation) and self._fires(number, rule, account, operation):
                struck[rule.kind] = self._choose_malformed_list(number, rule, account, operation)
        return struck

    def _choose_malformed_list(self, number: int, rule: Fault, account: str, operation: str) -> Fault:
        """The rule with one of the malformed lists chosen where it leaves that open."""
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
    """A number from 0 up to 1 that depends on the parts alone."""
    digest = blake2b(repr(parts).encode(), digest_size=6).digest()
    return int.from_bytes(digest, "big") / 2**48


def load_faults(path: Path) -> tuple[Fault, ...]:
    """Read `[[faults]]` from a TOML file. Raises FaultError, OSError."""
    try:
        return parse_faults(tomllib.loads(path.read_text("utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as broken:
        raise FaultError(f"{path}: not TOML: {broken}") from broken


def parse_faults(document: Any) -> tuple[Fault, ...]:
    """Rules from a document like `{"faults": [{"kind": "drop", "rate": 0.1}]}`. Raises FaultError.

    `fired`, which `GET /sandbox/faults` adds, is skipped: clients read the document, change a rule and send it back.
    """
    if not isinstance(document, Mapping):
        raise FaultError("expected a list `faults` of tables")
    if unknown := [key for key in document if key not in ("faults", "fired")]:
        told = "; ".join(f"{key!r} is not known{_format_suggestion(key, ['faults'])}" for key in unknown)
        raise FaultError(f"{told}: rules are written [[faults]]")
    rules = document.get("faults", [])
    if not isinstance(rules, list):
        raise FaultError("expected a list `faults` of tables")
    faults, problems = [], []
    for number, rule in enumerate(rules, 1):
        try:
            faults.append(_parse_rule(rule))
        except FaultError as wrong:
            problems.append(f"fault {number}: {wrong}")
    if problems:
        raise FaultError("\n".join(problems))
    return tuple(faults)


def faults_to_json(rules: Sequence[Fault]) -> list[dict[str, Any]]:
    """The rules in the form `parse_faults` reads, without what is left at its default."""
    defaults = {f.name: f.default for f in fields(Fault)}
    return [{key: value for key, value in asdict(rule).items() if value != defaults[key]} for rule in rules]


def _parse_rule(rule: Any) -> Fault:
    if not isinstance(rule, Mapping) or not isinstance(rule.get("kind"), str):
        raise FaultError("expected a table with a `kind`")
    known = [option.name for option in fields(Fault)]
    if unknown := [key for key in rule if key not in known]:
        told = ", ".join(f"{key!r}{_format_suggestion(key, known)}" for key in unknown)
        raise FaultError(f"{rule['kind']}: unknown option {told}; known: {', '.join(known)}")
    if wrong := [f"{key}={value!r}" for key, value in rule.items() if not _is_valid_option(key, value)]:
        raise FaultError(f"{rule['kind']}: wrong type: {', '.join(wrong)}")
    options: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in rule.items()}
    fault = Fault(**options)
    if problems := fault.list_problems():
        raise FaultError("; ".join(problems))
    return fault


def _is_valid_option(key: str, value: Any) -> bool:
    if key in {"accounts", "operations"}:
        return isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)
    if key in {"rate", "seconds"}:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if key in {"times", "size"}:
        return isinstance(value, int) and not isinstance(value, bool)
    return key in {"kind", "code", "message"} and isinstance(value, str)


def _format_suggestion(name: str, known: Iterable[str]) -> str:
    close = get_close_matches(name.lower(), list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _matches_any(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
