"""Fault injection: rules that make requests fail in the ways in which providers fail.

`fault_injector.py` decides to which requests they apply, and `request_pipeline.py` applies them.

| kind | effect | default operations | `seconds` |
|---|---|---|---|
| rate_limit | 429 `rate_limit_exceeded` | all | Retry-After, default 1 |
| server_error | 500, the request has no effect | all | |
| drop | the connection is closed, the request has no effect | all | |
| lose_answer | the request **takes effect**, then the connection is closed | all | |
| truncate | the request takes effect; half of the body is sent, then the connection is closed | all | |
| slow | the response is delayed | all | delay, default 5 |
| stall | the response is delayed until this rule is removed | all | |
| forbidden | 403: no permission to train | jobs.create | |
| quota | 429 `insufficient_quota` | jobs.create | |
| daily_limit | 429 `daily_rate_limit_exceeded` | jobs.create | Retry-After if above 0 |
| too_many_jobs | 429 while all job slots are in use | jobs.create | Retry-After if above 0 |
| file_not_ready | 400 `file_not_ready` until the job's files are processed, like Azure | jobs.create | |
| reject_file | the file gets the status `error` | files.create | |
| fail_job | the job fails in training (`code`, `message`) | jobs.create | training time before, default half |
| no_model_id | the job succeeds, the model id appears later | jobs.create | delay, default 5 |
| unknown_status | the status is `reviewing` before `succeeded` | jobs.create | duration, default 5 |
| vanish | the job disappears | jobs.create | time before, default 0 |
| ignore_metadata_filter | the list ignores the metadata filter | jobs.list | |
| page_size | pages have at most `size` items | lists | |
| list_lag | recent objects are not listed yet | files.list, jobs.list | age, default 2 |
| null_error | healthy jobs have an `error` whose fields are null | jobs.* that return a job | |
| drop_result | one result is missing | moderations.create | |
| twice | a webhook is sent twice | webhooks.send | |
| forged | a webhook has a wrong signature | webhooks.send | |
| stuck_cursor | the list repeats the same page with `has_more` | lists | |
| malformed_list | 200 with a malformed list: `code` selects it from `MALFORMED_LISTS`, default any | lists | |

`quota` and `forbidden` can be applied to any operation by naming it; so can `slow`, `stall` and `drop` to
`webhooks.send`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict, fields

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
WEBHOOK_OPERATION = "webhooks.send"  # the only operation that the sandbox starts itself
MATCH_ALL = ("*",)
LIST_OPERATIONS = ("files.list", "jobs.list", "jobs.events", "jobs.checkpoints")
JOB_OPERATIONS = ("jobs.create", "jobs.retrieve", "jobs.list", "jobs.cancel", "jobs.pause", "jobs.resume")
FILE_CREATION_OPERATIONS = ("files.create", "uploads.complete")
JOB_CREATION_OPERATIONS = ("jobs.create",)


class FaultKind(Struct, frozen=True):
    """The operations and defaults of one kind of fault."""

    allowed_operations: tuple[str, ...] = MATCH_ALL
    """Patterns of the operations to which it can be applied."""
    default_operations: tuple[str, ...] = ()
    """Operations of a rule that names none; empty: all allowed ones."""
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
    """Invalid fault rules; the message has one line per rule."""


class Fault(Struct, frozen=True):
    """One rule of fault injection. Its field names are the keys of the TOML file and of `/sandbox/faults`."""

    kind: str
    """A key of FAULT_KINDS."""
    rate: float = 1.0
    """Fraction of the matching requests that are affected."""
    accounts: tuple[str, ...] = ()
    """Names or patterns (`acme-*`); empty: all accounts."""
    operations: tuple[str, ...] = ()
    """Names or patterns (`files.*`); empty: the default operations of the kind."""
    times: int | None = None
    """Maximum number of affected requests; None: unlimited."""
    seconds: float | None = None
    """Depends on the kind, see the table; None: its default."""
    size: int = 1
    """Page size of `page_size`."""
    code: str = ""
    """Error code, or the name of a malformed list."""
    message: str = ""
    """Error message; empty: the provider's usual one."""

    @property
    def wait_seconds(self) -> float:
        """`seconds`, or the default of the kind."""
        return FAULT_KINDS[self.kind].default_seconds if self.seconds is None else self.seconds

    def matches(self, account: str, operation: str) -> bool:
        """Return whether the rule applies to this operation of this account."""
        kind = FAULT_KINDS[self.kind]
        if operation == WEBHOOK_OPERATION and WEBHOOK_OPERATION not in (*self.operations, *kind.allowed_operations):
            return False
        operations = self.operations or kind.default_operations or kind.allowed_operations
        accounts = self.accounts or MATCH_ALL
        return (
            _matches_any(operation, kind.allowed_operations)
            and _matches_any(operation, operations)
            and _matches_any(account, accounts)
        )

    def list_problems(self) -> list[str]:
        """Return the problems of the rule as texts; empty if it is valid."""
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


def parse_faults(document: Any) -> tuple[Fault, ...]:
    """Parse rules from a document like `{"faults": [{"kind": "drop", "rate": 0.1}]}`. Raises FaultError.

    The key `fired` of `GET /sandbox/faults` is ignored, so that clients can change a rule and send the document back.
    """
    if not isinstance(document, Mapping):
        raise FaultError("expected a list `faults` of tables")
    if unknown := [key for key in document if key not in ("faults", "fired")]:
        problem = "; ".join(f"{key!r} is not known{_format_suggestion(key, ['faults'])}" for key in unknown)
        raise FaultError(f"{problem}: rules are written [[faults]]")
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
    """Convert rules to the form that `parse_faults` reads, without fields at their default."""
    defaults = {f.name: f.default for f in fields(Fault)}
    return [{key: value for key, value in asdict(rule).items() if value != defaults[key]} for rule in rules]


def _parse_rule(rule: Any) -> Fault:
    if not isinstance(rule, Mapping) or not isinstance(rule.get("kind"), str):
        raise FaultError("expected a table with a `kind`")
    known = [*Fault.__struct_fields__]
    if unknown := [key for key in rule if key not in known]:
        names = ", ".join(f"{key!r}{_format_suggestion(key, known)}" for key in unknown)
        raise FaultError(f"{rule['kind']}: unknown option {names}; known: {', '.join(known)}")
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


JsonBody = Mapping[str, Any]

MALFORMED_LISTS: dict[str, Callable[[JsonBody], Any]] = {
    "error": lambda page: {"error": {"message": "upstream timed out", "type": "server_error", "code": None}},
    "error_beside_data": lambda page: {"object": "list", "data": [], "error": {"message": "upstream timed out"}},
    "error_object": lambda page: {"object": "error", "message": "upstream timed out", "data": []},
    "empty_object": lambda page: {},
    "empty_body": lambda page: b"",
    "null": lambda page: None,
    "array": lambda page: [],
    "null_data": lambda page: {"object": "list", "data": None, "has_more": False},
    "object_data": lambda page: {"object": "list", "data": {}, "has_more": False},
    "null_item": lambda page: {"object": "list", "data": [None], "has_more": False},
    "item_without_id": lambda page: {"object": "list", "data": [{}], "has_more": False},
    "number_id": lambda page: {"object": "list", "data": [{"id": 7}], "has_more": False},
    "empty_id": lambda page: {"object": "list", "data": [{"id": ""}], "has_more": False},
    "more_of_nothing": lambda page: {"object": "list", "data": [], "has_more": True},
    "odd_has_more": lambda page: {"object": "list", "data": [], "has_more": "perhaps"},
    "html": lambda page: b"<!doctype html><html><head><title>Please wait</title></head><body>502</body></html>",
    "half": lambda page: json.dumps({"object": "list", "data": page.get("data", [])}).encode()[:-1],
    "deep": lambda page: b'{"object":"list","data":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
}
"""Functions by name that replace a page by a JSON value or by bytes."""
