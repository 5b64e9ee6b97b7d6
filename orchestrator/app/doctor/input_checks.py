"""Checks of the operator's files: accounts file, keys, chats, prices and retirement dates. They send no requests."""

from __future__ import annotations

import os
import shlex
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
from orchestrator.inputs.accounts_file.runs import RunDefinition
from orchestrator.inputs.accounts_file.targets import list_secret_references
from orchestrator.inputs.paths import resolve_path
from orchestrator.inputs.prices import load_prices
from orchestrator.inputs.retirements import load_retirements
from orchestrator.inputs.secrets.credential_document import find_default_google_file
from orchestrator.inputs.secrets.references import parse_reference, resolve_reference, resolve_secrets
from orchestrator.planning.desired_state import find_published_retirements

MAX_PRICE_AGE_DAYS = 180  # providers change prices about twice a year
DUPLICATE_ACCOUNT_FIX = "Give each account a key of its own, or list it once."
MAX_NAMES_SHOWN = 5  # accounts or paths in one line


def format_names(names: list[str]) -> str:
    """List the first MAX_NAMES_SHOWN names and count the rest."""
    return format_list(names, limit=MAX_NAMES_SHOWN)


def check_accounts_file(file: AccountsFile) -> Iterator[Diagnosis]:
    """Check the warnings of the accounts file and its permissions."""
    yield ok_diagnosis("accounts file", f"{file.path}: {format_count(len(file.accounts), 'account')}")
    for warning in file.warnings:
        yield warning_diagnosis("accounts file", warning, "Check whether this is intended.")
    if file.path.stat().st_mode & stat.S_IWOTH:
        fix = shlex.join(["chmod", "o-w", str(file.path)])
        yield warning_diagnosis(
            "accounts file", "every user of this machine can change it, and run commands through it", fix
        )


def check_keys(accounts: tuple[Account, ...], key_results: Mapping[str, Secret | ConfigError]) -> Iterator[Diagnosis]:
    """Check that each reference resolves to a key, and that no key is shared.

    `key_results` has the key of each account, or the error of its resolution.
    """
    for name, key in key_results.items():
        if isinstance(key, ConfigError):
            yield error_diagnosis(
                "keys", f"{name}: {key.message}", "Store the key where api_key points, or correct api_key."
            )
    if count := sum(isinstance(key, Secret) for key in key_results.values()):
        yield ok_diagnosis("keys", f"{count} of {len(key_results)} keys found")
    fingerprints = {name: key.fingerprint for name, key in key_results.items() if isinstance(key, Secret)}
    for warning in list_shared_key_warnings(accounts, fingerprints):
        yield warning_diagnosis("keys", warning, DUPLICATE_ACCOUNT_FIX)


def check_secret_files(file: AccountsFile) -> Iterator[Diagnosis]:
    """Check that the files with keys, and with the secrets of webhooks, alerts and proxies, are private."""
    files = [_find_secret_file(reference, file.folder) for reference in file.secret_references]
    if exposed := [str(path) for path in files if path and _is_readable_by_anyone(path)]:
        fix = shlex.join(["chmod", "600", *exposed[:MAX_NAMES_SHOWN]])
        yield warning_diagnosis("keys", f"every user of this machine can read {format_names(exposed)}", fix)


def _find_secret_file(reference: str, base: Path) -> Path | None:
    scheme, rest = parse_reference(reference)
    if scheme == "google":
        return find_default_google_file()
    try:
        return resolve_path(base, rest) if scheme == "file" else None
    except ValueError:
        return None  # reported as a missing key


def _is_readable_by_anyone(path: Path) -> bool:
    """Return whether users other than owner and group can read the file. A private folder protects its files."""
    try:
        return bool(path.stat().st_mode & stat.S_IROTH and path.parent.stat().st_mode & stat.S_IXOTH)
    except OSError:
        return False  # reported as a missing key


def check_management_keys(file: AccountsFile, redact: Redactor) -> Iterator[Diagnosis]:
    """Check that each `management_key` leads to a token. It is needed for deployments only."""
    first = {account.management_key: account for account in file.accounts if account.management_key}
    for reference, account in first.items():
        try:
            resolve_reference(
                reference or "", base_folder=file.folder, redact=redact, hidden_variables=file.key_variables
            )
        except ConfigError as error:
            fix = "Store the token where management_key points, or correct it. Without it nothing can be deployed."
            yield error_diagnosis("management keys", f"{account.name}: {error.message}", fix)
        else:
            yield ok_diagnosis("management keys", f"the token of {account.name} was found")


def check_secrets(file: AccountsFile, redact: Redactor) -> Iterator[Diagnosis]:
    """Check that the secrets of webhooks and alerts can be resolved."""
    references = list(list_secret_references(file.accounts, file.targets))
    try:
        resolve_secrets(references, base_folder=file.folder, redact=redact, hidden_variables=file.key_variables)
    except ConfigError as error:
        yield from diagnoses_from_error("webhooks", error)
    else:
        if references:
            yield ok_diagnosis("webhooks", f"{format_count(len(references), 'secret')} found")


def check_dataset(run: RunDefinition) -> Iterator[Diagnosis]:
    """Check that the chats exist and are readable. Their content is checked by `orchestrator check`."""
    path = run.dataset
    if not path.exists():
        yield error_diagnosis(
            "dataset", f"{path} does not exist", f"Correct `dataset` in {run.table} of the accounts file."
        )
    elif not os.access(path, os.R_OK):
        yield error_diagnosis("dataset", f"{path} is not readable", "Give the service's user read access to it.")
    elif unreadable := list_folder(path).unreadable:
        folders = format_names([str(path / name) for name, _ in unreadable])
        yield error_diagnosis(
            "dataset", f"{folders} cannot be read: {unreadable[0][1]}", "Give the service's user read access to it."
        )
    elif count := len(list_source_files(path)):
        yield ok_diagnosis(
            "dataset", f"{path}: {format_count(count, 'file')}; `orchestrator check` checks the content"
        )
    else:
        yield error_diagnosis(
            "dataset", f"{path} contains no chats", "Add chats, as one .json file each or as one .jsonl file."
        )


def check_validation_set(run: RunDefinition) -> Iterator[Diagnosis]:
    """Check that the validation set, if one is configured, exists and is readable."""
    path = run.validation_path
    if path is None:
        return
    if count := len(list_source_files(path)) if path.exists() and os.access(path, os.R_OK) else 0:
        yield ok_diagnosis("validation", f"{path}: {format_count(count, 'file')}")
    else:
        yield error_diagnosis(
            "validation", f"{path} is not readable or contains no chats", f"Correct `validation` in {run.table}."
        )


def check_prices(run: RunDefinition, prices_file: Path | None, now: float) -> Iterator[Diagnosis]:
    """Check that the price of each base model is known and recent. `now` is in epoch seconds."""
    try:
        known = load_prices(prices_file)
    except ConfigError as error:
        yield from diagnoses_from_error("prices", error)
        return
    today = datetime.fromtimestamp(now, UTC).date()
    for provider, spec in run.specs.items():
        price = known.find(provider, spec.base_model)
        model = f"{spec.base_model} at {provider}"
        if price is None and not run.options.allow_unknown_price:
            fix = "Add it to a copy of the price file (ORCHESTRATOR_PRICES_FILE), or set allow_unknown_price = true."
            yield warning_diagnosis("prices", f"the price of {model} is unknown; the run will be held", fix)
        elif price is None:
            yield ok_diagnosis("prices", f"the price of {model} is unknown; allow_unknown_price permits it")
        elif not price.fixed and (age := (today - price.as_of).days) > MAX_PRICE_AGE_DAYS:
            fix = "Compare it with the provider's price page; correct it in a copy (ORCHESTRATOR_PRICES_FILE)."
            yield warning_diagnosis("prices", f"the price of {model} is from {price.as_of}, {age} days ago", fix)
        else:
            yield ok_diagnosis("prices", f"the price of {model} is from {price.as_of}")


def check_retirements(run: RunDefinition, retirements_file: Path | None, now: float) -> Iterator[Diagnosis]:
    """Check the published retirement dates of the base models.

    Dates from the provider's API are checked by `plan`.
    """
    try:
        known = find_published_retirements(load_retirements(retirements_file), run.specs)
    except ConfigError as error:
        yield from diagnoses_from_error("retirements", error)
        return
    problem_count = 0
    for provider, model in merge_retirements([], {name: spec.base_model for name, spec in run.specs.items()}, known):
        retiring = [(provider, model)]
        holds = list_untunable_holds(retiring, now).values()
        problems = [*(hold.reason for hold in holds), *list_retirement_warnings(retiring, now)]
        problem_count += len(problems)
        for problem in problems:
            message = f"{problem} ({known[provider].source}; as of {known[provider].as_of})"
            yield warning_diagnosis("retirements", message, "Choose another base model or another provider.")
    if not problem_count:
        yield ok_diagnosis("retirements", f"no base model is known to retire within {WARN_DAYS} days")
