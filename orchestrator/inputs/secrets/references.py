"""Secrets: follows `env:NAME`, `file:PATH` and `cmd:COMMAND` to the key. No message holds what it found there."""

from __future__ import annotations

import os
import re
import shlex
from base64 import b64decode
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from orchestrator.core.account import Account
from orchestrator.core.errors import ConfigError
from orchestrator.core.hold import Hold, HoldKind
from orchestrator.core.proxy import parse_proxy
from orchestrator.core.secret import MIN_KEY_LENGTH, Redactor, Secret
from orchestrator.inputs.paths import resolve_path
from orchestrator.inputs.secrets.command import run_command
from orchestrator.system.child_processes import ChildProcesses
from orchestrator.system.regular_file import NotRegularFile, open_regular_file

MAX_SECRET_BYTES = 16 * 1024  # bytes; no provider's key comes near it
_MAX_CONCURRENT_COMMANDS = 8
MIN_SIGNING_KEY_BYTES = 16
_VENDOR_KEY_PATTERN = re.compile(
    r"(?<![A-Za-z0-9])(?:(?:sk|pk|rk|tgp|fw|hf|gsk|ghp|whsec|nvapi|xox[a-z])[-_]|AIza|AKIA|eyJ)[A-Za-z0-9_-]{12,}"
)


def parse_reference(reference: str, option: str = "api_key") -> tuple[str, str]:
    """Scheme and rest of a well-formed reference; ValueError otherwise. It may be a key: never repeat it."""
    scheme, colon, rest = reference.partition(":")
    rest = rest.strip()
    if not colon or scheme not in ("env", "file", "cmd"):
        how = f'write {option} = "env:NAME", "file:PATH" or "cmd:COMMAND"'
        raise ValueError(f"must lead to the key, not be the key; put the key elsewhere and {how}")
    if scheme == "env" and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", rest):
        raise ValueError("must name an environment variable (letters, digits and _) after env:")
    if scheme == "file" and not rest:
        raise ValueError("must name a file after file:")
    if scheme == "cmd":
        _split_command(rest)
    return scheme, rest


def is_reference(text: str) -> bool:
    """Whether the text leads to a value elsewhere."""
    try:
        parse_reference(text)
    except ValueError:
        return False
    return True


def list_key_variables(references: Iterable[str]) -> frozenset[str]:
    """The variables of the environment that hold keys, by the `env:` references among these."""
    return frozenset(text.removeprefix("env:").strip() for text in references if text.startswith("env:"))


def resolve_reference(
    reference: str,
    *,
    base_folder: Path,
    redact: Redactor,
    hidden_variables: Collection[str] = (),
    children: ChildProcesses | None = None,
    redact_parts: bool = True,
) -> Secret:
    """The key that a reference leads to, made known to `redact`, with `parts` also by its beginning.

    Raises ConfigError when there is none.

    `base` is the folder of the accounts file, `hidden` the variables that a command does not get. A command may take
    up to ten seconds: call this from a thread, and `children` ends it when the program stops.
    """
    try:
        scheme, rest = parse_reference(reference)
    except ValueError as fault:
        raise ConfigError(f"the reference {fault}") from None
    try:
        secret = Secret(_validate_key(_read_value(scheme, rest, base_folder, hidden_variables, children)))
    except ValueError as fault:
        raise ConfigError(f"{_format_reference(scheme, rest)} {fault}") from None
    redact.add(secret, parts=redact_parts)
    return secret


def resolve_each_key(
    accounts: Iterable[Account],
    *,
    base_folder: Path,
    redact: Redactor,
    hidden_variables: Collection[str] = (),
    children: ChildProcesses | None = None,
) -> dict[str, Secret | ConfigError]:
    """Each account's key, or why there is none, by the account's name. A reference is followed only once.

    No command gets the `hidden` variables or another account's key.
    """
    wanted = {account.name: account.api_key for account in accounts}
    hidden_variables = list_key_variables(wanted.values()) | frozenset(hidden_variables)

    def attempt(reference: str) -> Secret | ConfigError:
        try:
            return resolve_reference(
                reference,
                base_folder=base_folder,
                redact=redact,
                hidden_variables=hidden_variables,
                children=children,
            )
        except ConfigError as fault:
            return fault

    commands = list(dict.fromkeys(reference for reference in wanted.values() if reference.startswith("cmd:")))
    with ThreadPoolExecutor(
        _MAX_CONCURRENT_COMMANDS
    ) as pool:  # only a command takes long enough to be worth a thread
        found = dict(zip(commands, pool.map(attempt, commands), strict=True))
    for reference in wanted.values():
        if reference not in found:
            found[reference] = attempt(reference)
    return {name: found[reference] for name, reference in wanted.items()}


@dataclass(frozen=True, slots=True)
class AccountKeys:
    """The accounts' keys by name, and why those are held that have none."""

    by_account: Mapping[str, Secret]
    missing: Mapping[str, Hold]


def resolve_account_keys(
    accounts: Sequence[Account],
    *,
    base_folder: Path,
    redact: Redactor,
    hidden_variables: Collection[str] = (),
    children: ChildProcesses | None = None,
) -> AccountKeys:
    """Each account's key, or its hold. One ConfigError with all faults when not a single account has a key."""
    each = resolve_each_key(
        accounts, base_folder=base_folder, redact=redact, hidden_variables=hidden_variables, children=children
    )
    found = {name: key for name, key in each.items() if isinstance(key, Secret)}
    faults = {name: fault for name, fault in each.items() if isinstance(fault, ConfigError)}
    if faults and not found:
        raise ConfigError(
            "no key for " + ("the account" if len(faults) == 1 else f"any of the {len(faults)} accounts"),
            hint="Put each key where its reference points, or correct the reference, and start again.",
            problems=[f"[[accounts]] {name}: api_key: {fault.message}" for name, fault in faults.items()],
        )
    listed = {account.name: account for account in accounts}
    return AccountKeys(found, {name: _build_missing_key_hold(listed[name], fault) for name, fault in faults.items()})


def _build_missing_key_hold(account: Account, fault: ConfigError) -> Hold:
    """What holds an account without a key, until the key is there."""
    if account.api_key.startswith("env:"):
        hint = "Set the variable in the service's environment and start it again, or correct the reference."
    else:
        hint = "Put the key where the reference points, or correct the reference: a running service notices the key."
    return Hold(HoldKind.KEY_MISSING, f"api_key: {fault.message}", hint)


@dataclass(frozen=True, slots=True)
class SecretReference:
    """A reference, where it stands in the accounts file, and what takes over the secret it leads to."""

    location: str
    reference: str
    register: Callable[[Secret, Redactor], None]
    is_address: bool = False
    """An address begins with a host or a user, which texts about other things hold as well."""


def resolve_secrets(
    references: Sequence[SecretReference],
    *,
    base_folder: Path,
    redact: Redactor,
    hidden_variables: Collection[str] = (),
    children: ChildProcesses | None = None,
) -> dict[str, Secret]:
    """The secret behind each reference; one ConfigError with all faults when one has none or an unfit one."""
    found: dict[str, Secret] = {}
    hidden_variables = list_key_variables(each.reference for each in references) | frozenset(hidden_variables)
    problems = []
    for each in references:
        try:
            secret = resolve_reference(
                each.reference,
                base_folder=base_folder,
                redact=redact,
                hidden_variables=hidden_variables,
                children=children,
                redact_parts=not each.is_address,
            )
            found[each.reference] = secret
            each.register(secret, redact)
        except ConfigError as fault:
            problems.append(f"{each.location}: {fault.message}")
        except ValueError as fault:
            problems.append(f"{each.location}: {_format_reference(*parse_reference(each.reference))} {fault}")
    if problems:
        raise ConfigError(
            "no secret for "
            + ("a webhook, alert or proxy" if len(problems) == 1 else f"{len(problems)} webhooks, alerts or proxies"),
            hint="Put each secret where its reference points, or correct the reference, and start again.",
            problems=problems,
        )
    return found


def register_signing_secret(secret: Secret, redact: Redactor) -> None:
    """ValueError when nobody should sign with it: with an empty or short key anyone could."""
    prefix, _, text = secret.reveal().partition("_")
    try:
        key = b64decode(text, validate=True)
    except ValueError:
        key = b""
    if prefix != "whsec" or len(key) < MIN_SIGNING_KEY_BYTES:
        raise ValueError(
            'must lead to "whsec_" and base64 of 16 bytes or more, as in: whsec_$(openssl rand -base64 32)'
        )
    redact.add(Secret(text))


def register_address(secret: Secret, redact: Redactor) -> None:
    """Make the address and its parts known to `redact`."""
    redact.add_address(secret)


def register_proxy(secret: Secret, redact: Redactor) -> None:
    """Make the proxy's password known to `redact`. ValueError when there is no proxy at the address."""
    for form in parse_proxy(secret.reveal(), "proxy").secrets():
        redact.add(form, parts=False)  # people choose user and password


def _read_value(
    scheme: str, rest: str, base_folder: Path, hidden_variables: Collection[str], children: ChildProcesses | None
) -> bytes:
    match scheme:
        case "env":
            return _read_variable(rest)
        case "file":
            return _read_file(rest, base_folder)
        case _:
            arguments = _split_command(rest)
            return run_command(
                arguments,
                folder=base_folder,
                max_bytes=MAX_SECRET_BYTES + 1,
                hidden_variables=hidden_variables,
                children=children,
            )


def _read_variable(name: str) -> bytes:
    value = os.environ.get(name)
    if value is None:
        shown = "it" if looks_like_key(name) else name
        raise ValueError(f"is not set in the environment; export {shown} before starting")
    return os.fsencode(value)


def _read_file(name: str, base_folder: Path) -> bytes:
    path = resolve_path(base_folder, name)
    try:
        with open_regular_file(path) as file:
            return file.read(MAX_SECRET_BYTES + 1)
    except FileNotFoundError:
        place = "" if looks_like_key(name) else f" (looked for {path})"
        raise ValueError(f"does not exist{place}; a relative path starts at the accounts file") from None
    except NotRegularFile as fault:
        raise ValueError(f"cannot be read: {fault.strerror}; name the file that holds the key") from None
    except OSError as fault:
        raise ValueError(f"cannot be read ({fault.strerror}); check who may read it") from None


def _split_command(command: str) -> list[str]:
    try:
        arguments = shlex.split(command)
    except ValueError:
        raise ValueError("has a quote that is not closed in the command after cmd:") from None
    if not arguments:
        raise ValueError("must name a command after cmd:")
    return arguments


def _validate_key(raw: bytes) -> str:
    """The key in these bytes; ValueError when they cannot be one, without repeating them."""
    if len(raw) > MAX_SECRET_BYTES:
        raise ValueError("holds more than 16 KiB, which cannot be a key")
    value = raw.decode("utf-8-sig", errors="replace").strip()
    if not value:
        raise ValueError("is empty; put the key there")
    if "\n" in value or "\r" in value:
        raise ValueError("holds several lines; leave only the key")
    if not re.fullmatch(r"[!-~]+", value):
        raise ValueError("holds spaces or characters that no key has; leave only the key")
    if len(value) < MIN_KEY_LENGTH:
        raise ValueError(f"holds fewer than {MIN_KEY_LENGTH} characters, which is no key; put the whole key there")
    return value


def looks_like_key(text: str) -> bool:
    """Whether a key seems to stand where its variable, file or command belongs: then no message may repeat it.

    A false alarm costs a name in a message, so this need not be exact.
    """
    if _VENDOR_KEY_PATTERN.search(text):
        return True
    runs = re.findall(r"[A-Za-z0-9]{20,}", text)  # a name has words and separators
    return any(re.search(r"[0-9]", run) and re.search(r"[A-Za-z]", run) for run in runs)


def _format_reference(scheme: str, rest: str) -> str:
    """The reference for a message. Of a command only the program: its arguments might hold a key."""
    program, *arguments = _split_command(rest) if scheme == "cmd" else [rest]
    if looks_like_key(program):
        return f"{scheme}:… (what follows looks like a key; put the key elsewhere, and here only how it is found)"
    return f"{scheme}:{program}{' …' if arguments else ''}"
