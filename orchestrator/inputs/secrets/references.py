"""Resolves the references `env:NAME`, `file:PATH`, `cmd:COMMAND` and `google:default` to keys and secrets."""

# Theory of operation
#
# The accounts file never contains a key, only a reference to one. People make mistakes, so each step assumes that a
# key may be in the wrong place:
#
#   * No message repeats a value that was read, nor the text of a reference that is not well-formed: the operator may
#     have put the key itself there. `looks_like_key` also hides a name, path or program that resembles a key.
#   * A value is registered with the `Redactor` before it is returned, so that the log and the error messages show a
#     placeholder whatever happens to it next. Addresses and proxy passwords are registered whole: a part of them,
#     such as a host name, occurs in ordinary texts, and redacting it would make those unreadable.
#   * A command gets no key of another account and none of the service's own secrets in its environment
#     (`hidden_variables`): the commands come from the accounts file, but what they start may come from anywhere.
#   * Reading is limited in size and, for commands, in time. A reference to /dev/zero or to a pipe that nobody writes
#     must not stop the service: `open_regular_file` refuses everything that is not a regular file.
#
# One account without a key does not stop the others: it is put on hold (`HoldKind.KEY_MISSING`). Only when no account
# has a key does `resolve_account_keys` raise, because then the mistake is most likely common to all.
#
# The functions block, commands for up to ten seconds each. Callers run them in a thread. Up to eight commands run at
# once, and equal references are resolved once, because many accounts of one customer often share a command.

from __future__ import annotations

import os
import re
import shlex
from base64 import b64decode
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from orchestrator.core.account import Account
from orchestrator.core.errors import ConfigError
from orchestrator.core.hold import Hold, HoldKind
from orchestrator.core.providers import PROVIDERS
from orchestrator.core.proxy import parse_proxy
from orchestrator.core.secret import MIN_KEY_LENGTH, Redactor, Secret
from orchestrator.core.structs import Struct
from orchestrator.inputs.paths import resolve_path
from orchestrator.inputs.secrets.command import run_command
from orchestrator.inputs.secrets.credential_document import (
    GOOGLE_DEFAULT,
    GOOGLE_METADATA_DOCUMENT,
    find_default_google_file,
    parse_credential_document,
    register_credential_document,
)
from orchestrator.inputs.secrets.metadata_services import reject_metadata_service
from orchestrator.system.child_processes import ChildProcesses
from orchestrator.system.regular_file import NotRegularFile, open_regular_file

MAX_SECRET_BYTES = 16 * 1024  # far more than any provider's key has
_MAX_CONCURRENT_COMMANDS = 8
KEY_OPTIONS = ("api_key", "--api-key")
MIN_SIGNING_KEY_BYTES = 16  # a shorter key could be guessed, and requests forged
# Prefixes by which vendors mark their keys. It is used to hide text, never to accept or refuse a key.
_VENDOR_KEY_PATTERN = re.compile(
    r"(?<![A-Za-z0-9])(?:(?:sk|pk|rk|tgp|fw|hf|gsk|ghp|whsec|nvapi|xox[a-z])[-_]|AIza|AKIA|eyJ)[A-Za-z0-9_-]{12,}"
)


def parse_reference(reference: str, option: str = "api_key") -> tuple[str, str]:
    """Return the scheme and the rest of a reference. Raises ValueError, whose text does not repeat the reference."""
    scheme, colon, rest = reference.partition(":")
    rest = rest.strip()
    if reference == GOOGLE_DEFAULT and option in KEY_OPTIONS:
        return scheme, rest
    if not colon or scheme not in ("env", "file", "cmd"):
        how = f'write {option} = "env:NAME", "file:PATH" or "cmd:COMMAND"'
        raise ValueError(f"must be a reference to the key and not the key itself; put the key elsewhere and {how}")
    if scheme == "env" and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", rest):
        raise ValueError("must name an environment variable (letters, digits and _) after env:")
    if scheme == "file" and not rest:
        raise ValueError("must name a file after file:")
    if scheme == "cmd":
        _split_command(rest)
    return scheme, rest


def is_reference(text: str) -> bool:
    """Return whether the text is a well-formed reference to a secret other than an account's key."""
    try:
        parse_reference(text, "proxy")
    except ValueError:
        return False
    return True


def list_key_variables(references: Iterable[str]) -> frozenset[str]:
    """Return the names of the environment variables that the `env:` references among these point to."""
    return frozenset(text.removeprefix("env:").strip() for text in references if text.startswith("env:"))


def resolve_reference(
    reference: str,
    *,
    base_folder: Path,
    redact: Redactor,
    hidden_variables: Collection[str] = (),
    children: ChildProcesses | None = None,
    redact_parts: bool = True,
    accepts_document: bool = False,
) -> Secret:
    """Return the key that a reference points to, after registering it with `redact`.

    `base_folder` is the folder of the accounts file. A command does not get the `hidden_variables`, and `children`
    ends it when the program stops. `redact_parts` also registers the beginning of the key. With `accepts_document`
    the key may be a JSON document, which is returned in one line. Blocks for up to ten seconds. Raises ConfigError.
    """
    try:
        scheme, rest = parse_reference(reference)
    except ValueError as error:
        raise ConfigError(f"the reference {error}") from None
    try:
        raw = _read_value(scheme, rest, base_folder, hidden_variables, children)
        document = parse_credential_document(raw) if accepts_document and len(raw) <= MAX_SECRET_BYTES else None
        secret = Secret(document or _validate_key(raw))
    except ValueError as error:
        raise ConfigError(f"{_format_reference(scheme, rest)} {error}") from None
    # Before anything else can happen to the key: an error on the way could quote it.
    if document:
        register_credential_document(secret, redact)
    else:
        redact.add(secret, parts=redact_parts)
    return secret


def accepts_document(account: Account) -> bool:
    """Return whether the account's key may be a JSON document. Elsewhere it would be sent, private key and all."""
    return PROVIDERS[account.provider].accepts_credential_document


def resolve_each_key(
    accounts: Iterable[Account],
    *,
    base_folder: Path,
    redact: Redactor,
    hidden_variables: Collection[str] = (),
    children: ChildProcesses | None = None,
) -> dict[str, Secret | ConfigError]:
    """Return each account's key, or the error that explains why there is none, by account name.

    Equal references are resolved once. No command gets the `hidden_variables` or another account's key.
    """
    references = {account.name: (account.api_key, accepts_document(account)) for account in accounts}
    hidden_variables = list_key_variables(key for key, _ in references.values()) | frozenset(hidden_variables)

    def attempt(reference: tuple[str, bool]) -> Secret | ConfigError:
        try:
            return resolve_reference(
                reference[0],
                base_folder=base_folder,
                redact=redact,
                hidden_variables=hidden_variables,
                children=children,
                accepts_document=reference[1],
            )
        except ConfigError as error:
            return error

    commands = list(dict.fromkeys(each for each in references.values() if each[0].startswith("cmd:")))
    # In threads only commands: a variable or a file is read faster than a thread starts.
    with ThreadPoolExecutor(_MAX_CONCURRENT_COMMANDS) as pool:
        results = dict(zip(commands, pool.map(attempt, commands), strict=True))
    for reference in references.values():
        if reference not in results:
            results[reference] = attempt(reference)
    return {name: results[reference] for name, reference in references.items()}


class AccountKeys(Struct, frozen=True):
    """The keys of all accounts, by account name."""

    by_account: Mapping[str, Secret]
    missing: Mapping[str, Hold]  # the holds of the accounts without a key


class NoAccountKeys(ConfigError):
    """No account has a key. A running service watches the references of `accounts`: the keys may come back."""

    def __init__(self, accounts: Sequence[Account], errors: Mapping[str, ConfigError]) -> None:
        super().__init__(
            "no key for " + ("the account" if len(errors) == 1 else f"any of the {len(errors)} accounts"),
            hint="Put each key where its reference points, or correct the reference, and start again. "
            "A running service finds the keys of files and commands by itself.",
            problems=[f"[[accounts]] {name}: api_key: {error.message}" for name, error in errors.items()],
        )
        self.accounts = tuple(accounts)


def resolve_account_keys(
    accounts: Sequence[Account],
    *,
    base_folder: Path,
    redact: Redactor,
    hidden_variables: Collection[str] = (),
    children: ChildProcesses | None = None,
) -> AccountKeys:
    """Return each account's key or its hold. Raises NoAccountKeys with all problems if none has a key."""
    each = resolve_each_key(
        accounts, base_folder=base_folder, redact=redact, hidden_variables=hidden_variables, children=children
    )
    keys = {name: key for name, key in each.items() if isinstance(key, Secret)}
    errors = {name: error for name, error in each.items() if isinstance(error, ConfigError)}
    if errors and not keys:
        raise NoAccountKeys(accounts, errors)
    listed = {account.name: account for account in accounts}
    return AccountKeys(keys, {name: _build_missing_key_hold(listed[name], error) for name, error in errors.items()})


def _build_missing_key_hold(account: Account, error: ConfigError) -> Hold:
    if account.api_key.startswith("env:"):
        # A process cannot see a later change of its environment: only a restart helps.
        hint = "Set the variable in the service's environment and restart it, or correct the reference."
    else:
        hint = (
            "Put the key where the reference points, or correct the reference. "
            "A running service finds the new key by itself, as does the next `orchestrator run`, without a release."
        )
    return Hold(HoldKind.KEY_MISSING, f"api_key: {error.message}", hint)


class SecretReference(Struct, frozen=True):
    """A reference to a secret other than an account's key."""

    location: str  # in the accounts file, for messages
    reference: str
    register: Callable[[Secret, Redactor], None]  # validates the secret and makes it known; raises ValueError
    is_address: bool = False  # whether its beginning is a host or a user, which must not be redacted alone


def resolve_secrets(
    references: Sequence[SecretReference],
    *,
    base_folder: Path,
    redact: Redactor,
    hidden_variables: Collection[str] = (),
    children: ChildProcesses | None = None,
) -> dict[str, Secret]:
    """Return the secret of each reference. Raises one ConfigError with all missing and invalid ones."""
    secrets: dict[str, Secret] = {}
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
            secrets[each.reference] = secret
            each.register(secret, redact)
        except ConfigError as error:
            problems.append(f"{each.location}: {error.message}")
        except ValueError as error:
            problems.append(f"{each.location}: {_format_reference(*parse_reference(each.reference))} {error}")
    if problems:
        raise ConfigError(
            "no secret for "
            + ("a webhook, alert or proxy" if len(problems) == 1 else f"{len(problems)} webhooks, alerts or proxies"),
            hint="Put each secret where its reference points, or correct the reference, and start again.",
            problems=problems,
        )
    return secrets


def register_signing_secret(secret: Secret, redact: Redactor) -> None:
    """Register a key that signs webhooks. Raises ValueError for a short one, with which anyone could sign."""
    prefix, _, text = secret.reveal().partition("_")
    try:
        key = b64decode(text, validate=True)
    except ValueError:
        key = b""
    if prefix != "whsec" or len(key) < MIN_SIGNING_KEY_BYTES:
        raise ValueError(
            'must be "whsec_" and base64 of 16 bytes or more; generate one with: whsec_$(openssl rand -base64 32)'
        )
    redact.add(Secret(text))


def register_address(secret: Secret, redact: Redactor) -> None:
    """Register an address and its secret parts. Raises ValueError for the address of a metadata service."""
    redact.add_address(secret)
    reject_metadata_service(secret.reveal())


def register_proxy(secret: Secret, redact: Redactor) -> None:
    """Register the credentials of a proxy. Raises ValueError if the address is not one of a proxy."""
    proxy = parse_proxy(secret.reveal(), "proxy")
    for form in proxy.secrets():
        # Not in parts: people choose user and password, and a part may be an ordinary word.
        redact.add(form, parts=False)
    reject_metadata_service(proxy.url)


def _read_value(
    scheme: str, rest: str, base_folder: Path, hidden_variables: Collection[str], children: ChildProcesses | None
) -> bytes:
    match scheme:
        case "env":
            return _read_variable(rest)
        case "file":
            return _read_file(rest, base_folder)
        case "google":
            path = find_default_google_file()
            return _read_file(str(path), base_folder) if path else GOOGLE_METADATA_DOCUMENT
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
        shown = "it" if looks_like_key(name) else name  # `env:sk-…`: the key was put in the place of a name
        raise ValueError(f"is not set in the environment; export {shown} before starting")
    return os.fsencode(value)


def _read_file(name: str, base_folder: Path) -> bytes:
    path = resolve_path(base_folder, name)
    try:
        with open_regular_file(path) as file:
            return file.read(MAX_SECRET_BYTES + 1)
    except FileNotFoundError:
        place = "" if looks_like_key(name) else f" (expected at {path})"
        raise ValueError(
            f"does not exist{place}; a relative path starts at the folder of the accounts file"
        ) from None
    except NotRegularFile as error:
        raise ValueError(f"cannot be read: {error.strerror}; name the file that contains the key") from None
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror}); check its permissions") from None


def _split_command(command: str) -> list[str]:
    try:
        arguments = shlex.split(command)
    except ValueError:
        raise ValueError("has a quote that is not closed in the command after cmd:") from None
    if not arguments:
        raise ValueError("must name a command after cmd:")
    return arguments


def _validate_key(raw: bytes) -> str:
    """Return the key in these bytes. Raises ValueError, which does not repeat them, if they cannot be one."""
    if len(raw) > MAX_SECRET_BYTES:
        raise ValueError("has more than 16 KiB, which cannot be a key; name the file or variable with the key alone")
    # An editor may add a byte-order mark and a line end. Anything that is not UTF-8 is refused below.
    value = raw.decode("utf-8-sig", errors="replace").strip()
    if not value:
        raise ValueError("is empty; put the key there")
    if "\n" in value or "\r" in value:
        raise ValueError("has several lines; leave only the key")
    if not re.fullmatch(r"[!-~]+", value):
        raise ValueError("has spaces or characters that no key has; leave only the key")
    if len(value) < MIN_KEY_LENGTH:
        raise ValueError(f"has fewer than {MIN_KEY_LENGTH} characters, which is no key; put the complete key there")
    return value


def looks_like_key(text: str) -> bool:
    """Return whether a text resembles a key, so that no message may repeat it.

    A false positive costs a name in a message, so this need not be exact.
    """
    if _VENDOR_KEY_PATTERN.search(text):
        return True
    runs = re.findall(r"[A-Za-z0-9]{20,}", text)  # a name has words and separators
    return any(re.search(r"[0-9]", run) and re.search(r"[A-Za-z]", run) for run in runs)


def _format_reference(scheme: str, rest: str) -> str:
    """Format a reference for a message. Of a command only the program: its arguments may contain a key."""
    program, *arguments = _split_command(rest) if scheme == "cmd" else [rest]
    if looks_like_key(program):
        return f"{scheme}:… (the rest looks like a key; put the key elsewhere and write a reference to it here)"
    return f"{scheme}:{program}{' …' if arguments else ''}"
