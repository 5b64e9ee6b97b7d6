"""Inputs: what the operator wrote: accounts file, keys, chats, prices, dates. Looked at without asking anyone."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from orchestrator.app.doctor.diagnosis import (
    Diagnosis,
    diagnoses_from_error,
    error_diagnosis,
    ok_diagnosis,
    warning_diagnosis,
)
from orchestrator.core.account import Account
from orchestrator.core.errors import ConfigError
from orchestrator.core.plans.duplicate_accounts import list_shared_key_warnings
from orchestrator.core.plans.retirement import (
    WARN_DAYS,
    list_retirement_warnings,
    list_untunable_holds,
    merge_retirements,
)
from orchestrator.core.secret import Redactor, Secret
from orchestrator.core.text import format_count, format_list
from orchestrator.dataset.read.source_files import list_folder, list_source_files
from orchestrator.inputs.accounts_file.loader import AccountsFile
from orchestrator.inputs.accounts_file.targets import list_secret_references
from orchestrator.inputs.paths import resolve_path
from orchestrator.inputs.prices import load_prices
from orchestrator.inputs.retirements import load_retirements
from orchestrator.inputs.secrets.references import parse_reference, resolve_secrets
from orchestrator.planning.desired_state import find_published_retirements

MAX_PRICE_AGE_DAYS = 180
DUPLICATE_ACCOUNT_FIX = "Give each account a key of its own, or list it once."
MAX_NAMES_SHOWN = 5  # accounts that a line names


def format_names(accounts: list[str]) -> str:
    """List the first MAX_NAMES_SHOWN names and count the rest."""
    return format_list(accounts, limit=MAX_NAMES_SHOWN)


def check_accounts_file(file: AccountsFile) -> Iterator[Diagnosis]:
    """What the file says, and who may change it."""
    yield ok_diagnosis("accounts file", f"{file.path}: {format_count(len(file.accounts), 'account')}")
    for warning in file.warnings:
        yield warning_diagnosis("accounts file", warning, "See whether that is meant.")
    if file.path.stat().st_mode & stat.S_IWOTH:
        fix = f"chmod o-w {file.path}"
        yield warning_diagnosis(
            "accounts file", "anyone on this machine may change it, and run commands through it", fix
        )


def check_keys(
    accounts: tuple[Account, ...], found: Mapping[str, Secret | ConfigError], base: Path
) -> Iterator[Diagnosis]:
    """Whether each reference leads to a key, and who else may read it."""
    for name, key in found.items():
        if isinstance(key, ConfigError):
            yield error_diagnosis(
                "keys", f"{name}: {key.message}", "Put the key where its reference points, or correct that."
            )
    if there := sum(isinstance(key, Secret) for key in found.values()):
        yield ok_diagnosis("keys", f"{there} of {len(found)} references lead to a key")
    fingerprints = {name: key.fingerprint for name, key in found.items() if isinstance(key, Secret)}
    for warning in list_shared_key_warnings(accounts, fingerprints):
        yield warning_diagnosis("keys", warning, DUPLICATE_ACCOUNT_FIX)
    files = dict.fromkeys(_find_key_file(account, base) for account in accounts)
    if listed := [str(path) for path in files if path and _is_readable_by_anyone(path)]:
        fix = f"chmod 600 {' '.join(listed[:MAX_NAMES_SHOWN])}"
        yield warning_diagnosis("keys", f"anyone on this machine may read {format_names(listed)}", fix)


def _find_key_file(account: Account, base: Path) -> Path | None:
    scheme, rest = parse_reference(account.api_key)
    try:
        return resolve_path(base, rest) if scheme == "file" else None
    except ValueError:
        return None  # told as a key that is not there


def _is_readable_by_anyone(path: Path) -> bool:
    """Whether others than owner and group may read the file, as far as its folder lets them."""
    try:
        return bool(path.stat().st_mode & stat.S_IROTH and path.parent.stat().st_mode & stat.S_IXOTH)
    except OSError:
        return False  # told as a key that is not there


def check_secrets(file: AccountsFile, redact: Redactor) -> Iterator[Diagnosis]:
    """Whether webhooks and alerts have their secrets."""
    wanted = list(list_secret_references(file.accounts, file.targets))
    try:
        resolve_secrets(wanted, base_folder=file.folder, redact=redact, hidden_variables=file.key_variables)
    except ConfigError as error:
        yield from diagnoses_from_error("webhooks", error)
    else:
        if wanted:
            yield ok_diagnosis("webhooks", f"{len(wanted)} references lead to a secret")


def check_dataset(file: AccountsFile) -> Iterator[Diagnosis]:
    """Whether there are any; what is in them is the check's."""
    path = file.dataset
    if not path.exists():
        yield error_diagnosis("dataset", f"{path} does not exist", "Correct `dataset` in the accounts file.")
    elif not os.access(path, os.R_OK):
        yield error_diagnosis("dataset", f"{path} cannot be read", "Let the service's user read it.")
    elif unreadable := list_folder(path).unreadable:
        folders = format_names([str(path / name) for name, _ in unreadable])
        yield error_diagnosis(
            "dataset", f"{folders} cannot be read: {unreadable[0][1]}", "Let the service's user read it."
        )
    elif count := len(list_source_files(path)):
        yield ok_diagnosis("dataset", f"{path}: {format_count(count, 'file')}; `orchestrator check` reads them")
    else:
        yield error_diagnosis(
            "dataset", f"{path} holds no chats", "Put chats there, one .json file each, or one .jsonl."
        )


def check_validation_set(file: AccountsFile) -> Iterator[Diagnosis]:
    """Whether the operator's own validation set is there."""
    path = file.validation_path
    if path is None:
        return
    if count := len(list_source_files(path)) if path.exists() and os.access(path, os.R_OK) else 0:
        yield ok_diagnosis("validation", f"{path}: {format_count(count, 'file')}")
    else:
        yield error_diagnosis(
            "validation", f"{path} cannot be read or holds no chats", "Correct `validation` in [run]."
        )


def check_prices(file: AccountsFile, prices_file: Path | None, now: float) -> Iterator[Diagnosis]:
    """Whether training has a known price, and how old that is."""
    try:
        known = load_prices(prices_file)
    except ConfigError as error:
        yield from diagnoses_from_error("prices", error)
        return
    today = datetime.fromtimestamp(now, UTC).date()
    for provider, spec in file.specs.items():
        price = known.find(provider, spec.base_model)
        what = f"{spec.base_model} at {provider}"
        if price is None and not file.options.allow_unknown_price:
            fix = (
                "Put it into a copy of the price file (ORCHESTRATOR_PRICES_FILE), or set allow_unknown_price = true."
            )
            yield warning_diagnosis("prices", f"the price of {what} is not known: the run will be held", fix)
        elif price is None:
            yield ok_diagnosis("prices", f"the price of {what} is not known, which is allowed")
        elif not price.fixed and (age := (today - price.as_of).days) > MAX_PRICE_AGE_DAYS:
            fix = "Compare it with the provider's page; correct it in a copy, ORCHESTRATOR_PRICES_FILE."
            yield warning_diagnosis("prices", f"the price of {what} is from {price.as_of}, {age} days ago", fix)
        else:
            yield ok_diagnosis("prices", f"the price of {what} is from {price.as_of}")


def check_retirements(file: AccountsFile, retirements_file: Path | None, now: float) -> Iterator[Diagnosis]:
    """Whether a base model's end was published. What the provider itself says, `plan` asks."""
    try:
        known = find_published_retirements(load_retirements(retirements_file), file.specs)
    except ConfigError as error:
        yield from diagnoses_from_error("retirements", error)
        return
    doubts = 0
    for provider, model in merge_retirements([], {name: spec.base_model for name, spec in file.specs.items()}, known):
        told = [(provider, model)]
        lines = [hold.reason for hold in list_untunable_holds(told, now).values()] + list_retirement_warnings(
            told, now
        )
        doubts += len(lines)
        for line in lines:
            what = f"{line} ({known[provider].source}; as of {known[provider].as_of})"
            yield warning_diagnosis("retirements", what, "Choose a base model that stays, or another provider.")
    if not doubts:
        yield ok_diagnosis("retirements", f"no end of a base model within {WARN_DAYS} days is known")
