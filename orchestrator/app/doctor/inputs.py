"""Inputs: what the operator wrote: accounts file, keys, chats, prices, dates. Looked at without asking anyone."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from orchestrator.app.doctor.diagnosis import Diagnosis, doubtful, faults, fine, wrong
from orchestrator.core.account import Account
from orchestrator.core.errors import ConfigError
from orchestrator.core.retirement import WARN_DAYS, complete, untunable_holds, warnings
from orchestrator.core.secret import Redactor, Secret
from orchestrator.core.twins import same_keys
from orchestrator.daemon.desired import published
from orchestrator.dataset.files import list_folder, sources
from orchestrator.dataset.prices import load_prices
from orchestrator.dataset.retirements import load_retirements
from orchestrator.sources.accounts import AccountsFile
from orchestrator.sources.paths import path_beside
from orchestrator.sources.secrets import follow, split
from orchestrator.sources.targets import references

OLD_PRICE_DAYS = 180
TWIN_FIX = "Give each account a key of its own, or list it once."
NAMED = 5  # accounts that a line names


def names(accounts: list[str]) -> str:
    """A few names, and how many more."""
    more = f" and {len(accounts) - NAMED} more" if len(accounts) > NAMED else ""
    return ", ".join(accounts[:NAMED]) + more


def accounts_file(file: AccountsFile) -> Iterator[Diagnosis]:
    """What the file says, and who may change it."""
    yield fine("accounts file", f"{file.path}: {len(file.accounts)} accounts")
    for warning in file.warnings:
        yield doubtful("accounts file", warning, "See whether that is meant.")
    if file.path.stat().st_mode & stat.S_IWOTH:
        fix = f"chmod o-w {file.path}"
        yield doubtful("accounts file", "anyone on this machine may change it, and run commands through it", fix)


def keys(accounts: tuple[Account, ...], found: Mapping[str, Secret | ConfigError], base: Path) -> Iterator[Diagnosis]:
    """Whether each reference leads to a key, and who else may read it."""
    for name, key in found.items():
        if isinstance(key, ConfigError):
            yield wrong("keys", f"{name}: {key.message}", "Put the key where its reference points, or correct that.")
    if there := sum(isinstance(key, Secret) for key in found.values()):
        yield fine("keys", f"{there} of {len(found)} references lead to a key")
    fingerprints = {name: key.fingerprint for name, key in found.items() if isinstance(key, Secret)}
    for warning in same_keys(accounts, fingerprints):
        yield doubtful("keys", warning, TWIN_FIX)
    files = dict.fromkeys(_key_file(account, base) for account in accounts)
    if listed := [str(path) for path in files if path and _for_all(path)]:
        fix = f"chmod 600 {' '.join(listed[:NAMED])}"
        yield doubtful("keys", f"anyone on this machine may read {names(listed)}", fix)


def _key_file(account: Account, base: Path) -> Path | None:
    scheme, rest = split(account.api_key)
    try:
        return path_beside(base, rest) if scheme == "file" else None
    except ValueError:
        return None  # told as a key that is not there


def _for_all(path: Path) -> bool:
    """Whether others than owner and group may read the file, as far as its folder lets them."""
    try:
        return bool(path.stat().st_mode & stat.S_IROTH and path.parent.stat().st_mode & stat.S_IXOTH)
    except OSError:
        return False  # told as a key that is not there


def secrets(file: AccountsFile, redact: Redactor) -> Iterator[Diagnosis]:
    """Whether webhooks and alerts have their secrets."""
    wanted = list(references(file.accounts, file.targets))
    try:
        follow(wanted, base=file.folder, redact=redact, hidden=file.key_variables)
    except ConfigError as error:
        yield from faults("webhooks", error)
    else:
        if wanted:
            yield fine("webhooks", f"{len(wanted)} references lead to a secret")


def chats(file: AccountsFile) -> Iterator[Diagnosis]:
    """Whether there are any; what is in them is the check's."""
    path = file.dataset
    if not path.exists():
        yield wrong("dataset", f"{path} does not exist", "Correct `dataset` in the accounts file.")
    elif not os.access(path, os.R_OK):
        yield wrong("dataset", f"{path} cannot be read", "Let the service's user read it.")
    elif unreadable := list_folder(path).unreadable:
        folders = names([str(path / name) for name, _ in unreadable])
        yield wrong("dataset", f"{folders} cannot be read: {unreadable[0][1]}", "Let the service's user read it.")
    elif count := len(sources(path)):
        yield fine("dataset", f"{path}: {count} file{'s'[: count > 1]}; `orchestrator check` reads them")
    else:
        yield wrong("dataset", f"{path} holds no chats", "Put chats there, one .json file each, or one .jsonl.")


def validation_set(file: AccountsFile) -> Iterator[Diagnosis]:
    """Whether the operator's own validation set is there."""
    path = file.validation
    if path is None:
        return
    if count := len(sources(path)) if path.exists() and os.access(path, os.R_OK) else 0:
        yield fine("validation", f"{path}: {count} file{'s'[: count > 1]}")
    else:
        yield wrong("validation", f"{path} cannot be read or holds no chats", "Correct `validation` in [run].")


def prices(file: AccountsFile, prices_file: Path | None, now: float) -> Iterator[Diagnosis]:
    """Whether training has a known price, and how old that is."""
    try:
        known = load_prices(prices_file)
    except ConfigError as error:
        yield from faults("prices", error)
        return
    today = datetime.fromtimestamp(now, UTC).date()
    for provider, spec in file.specs.items():
        price = known.find(provider, spec.base_model)
        what = f"{spec.base_model} at {provider}"
        if price is None and not file.options.allow_unknown_price:
            fix = (
                "Put it into a copy of the price file (ORCHESTRATOR_PRICES_FILE), or set allow_unknown_price = true."
            )
            yield doubtful("prices", f"the price of {what} is not known: the run will be held", fix)
        elif price is None:
            yield fine("prices", f"the price of {what} is not known, which is allowed")
        elif not price.fixed and (age := (today - price.as_of).days) > OLD_PRICE_DAYS:
            fix = "Compare it with the provider's page; correct it in a copy, ORCHESTRATOR_PRICES_FILE."
            yield doubtful("prices", f"the price of {what} is from {price.as_of}, {age} days ago", fix)
        else:
            yield fine("prices", f"the price of {what} is from {price.as_of}")


def retirements(file: AccountsFile, retirements_file: Path | None, now: float) -> Iterator[Diagnosis]:
    """Whether a base model's end was published. What the provider itself says, `plan` asks."""
    try:
        known = published(load_retirements(retirements_file), file.specs)
    except ConfigError as error:
        yield from faults("retirements", error)
        return
    doubts = 0
    for provider, model in complete([], {name: spec.base_model for name, spec in file.specs.items()}, known):
        told = [(provider, model)]
        lines = [hold.reason for hold in untunable_holds(told, now).values()] + warnings(told, now)
        doubts += len(lines)
        for line in lines:
            what = f"{line} ({known[provider].source}; as of {known[provider].as_of})"
            yield doubtful("retirements", what, "Choose a base model that stays, or another provider.")
    if not doubts:
        yield fine("retirements", f"no end of a base model within {WARN_DAYS} days is known")
