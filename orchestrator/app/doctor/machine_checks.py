"""Checks of the machine: installed packages, data folder and disk space."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from collections import defaultdict
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from orchestrator.app.doctor.diagnosis import Diagnosis, error_diagnosis, ok_diagnosis, warning_diagnosis
from orchestrator.core.notifications.delivery import Channel
from orchestrator.core.providers import PROVIDERS
from orchestrator.core.text import format_list
from orchestrator.inputs.accounts_file.loader import AccountsFile
from orchestrator.inputs.secrets.credential_document import GOOGLE_DEFAULT
from orchestrator.system.private_files import is_open_to_others

MAX_PATHS_SHOWN = 3  # in one line
LOW_DISK_BYTES, MIN_DISK_BYTES = 1_000_000_000, 50_000_000  # a warning below the first, an error below the second


def check_program() -> Iterator[Diagnosis]:
    """Report the versions of orchestrator and Python, and the installed extras."""
    extras = _find_missing_packages()
    installed = [name for name, missing in extras.items() if not missing]
    python = ".".join(map(str, sys.version_info[:3]))
    yield ok_diagnosis(
        "program", f"{version('orchestrator')} on Python {python}; extras: {', '.join(installed) or 'none'}"
    )


def check_required_extras(file: AccountsFile) -> Iterator[Diagnosis]:
    """Check that the extras which the accounts file requires are installed."""
    required = {
        "alerts": any(target.channel is Channel.ALERT for target in file.targets),
        "open-models": any(run.tokenizers for run in file.runs),
    }
    for account in file.accounts:  # the extra of a provider has its name
        if PROVIDERS[account.provider].requires_extra or account.api_key == GOOGLE_DEFAULT:
            required[account.provider] = True
    for extra, missing in _find_missing_packages().items():
        if required.get(extra) and missing:
            fix = f"pip install 'orchestrator[{extra}]'"
            yield error_diagnosis(
                "program", f"the accounts file requires {', '.join(missing)}, which is not installed", fix
            )


def check_data_folder(folder: Path) -> Iterator[Diagnosis]:
    """Check that the data folder is writable and private, and that its disk has free space."""
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        fix = "Give the service's user write access to it."
        yield error_diagnosis("data folder", f"{existing} is not writable", fix)
        return
    free = shutil.disk_usage(existing).free
    message = f"{folder}: {free / 1e9:.1f} GB free"
    if free < MIN_DISK_BYTES:
        yield error_diagnosis("data folder", message, "Free disk space; the database cannot be written.")
    elif free < LOW_DISK_BYTES:
        yield warning_diagnosis("data folder", message, "Free disk space for datasets and history.")
    else:
        yield ok_diagnosis("data folder", message)
    if exposed := list(_list_paths_open_to_others(folder)):
        listed = format_list([str(path) for path in exposed], limit=MAX_PATHS_SHOWN)
        fix = shlex.join(["chmod", "-R", "go=", str(folder)])
        yield warning_diagnosis("data folder", f"other users of this machine can access {listed}", fix)


def _list_paths_open_to_others(folder: Path) -> Iterator[Path]:
    """Yield the paths of the folder, the database and the datasets that other users can access."""
    if is_open_to_others(folder):  # a private folder protects everything in it
        yield folder
        inside = [*sorted(folder.glob("*.db*")), folder / "datasets", *sorted(folder.glob("datasets/*.jsonl"))]
        yield from (path for path in inside if is_open_to_others(path))


def _find_missing_packages() -> dict[str, list[str]]:
    """Return the packages that are missing for each extra, by the metadata of the installed distribution."""
    missing_by_extra: dict[str, list[str]] = defaultdict(list)
    for requirement in requires("orchestrator") or ():
        name, extra = re.match(r"[\w.-]+", requirement), re.search(r"extra == ['\"]([\w-]+)", requirement)
        if name and extra:
            missing_by_extra[extra[1]] += [] if _installed(name[0]) else [name[0]]
    return dict(missing_by_extra)


def _installed(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True
