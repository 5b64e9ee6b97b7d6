"""Machine: where the service would run: its folder, its disk, what is installed."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections import defaultdict
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from orchestrator.app.doctor.diagnosis import Diagnosis, error_diagnosis, ok_diagnosis, warning_diagnosis
from orchestrator.core.notifications.delivery import Channel
from orchestrator.core.text import format_list
from orchestrator.inputs.accounts_file.loader import AccountsFile
from orchestrator.system.private_files import is_open_to_others

MAX_PATHS_SHOWN = 3  # paths that a line names
LOW_DISK_BYTES, MIN_DISK_BYTES = 1_000_000_000, 50_000_000


def check_program() -> Iterator[Diagnosis]:
    """Version, Python, extras."""
    extras = _find_missing_packages()
    there = [name for name, missing in extras.items() if not missing]
    python = ".".join(map(str, sys.version_info[:3]))
    yield ok_diagnosis(
        "program", f"{version('orchestrator')} on Python {python}; extras: {', '.join(there) or 'none'}"
    )


def check_required_extras(file: AccountsFile) -> Iterator[Diagnosis]:
    """What the accounts file asks for that is not installed."""
    asked = {
        "alerts": any(target.channel is Channel.ALERT for target in file.targets),
        "open-models": bool(file.tokenizers),
    }
    for extra, missing in _find_missing_packages().items():
        if asked.get(extra) and missing:
            fix = f"pip install 'orchestrator[{extra}]'"
            yield error_diagnosis(
                "program", f"the accounts file needs {', '.join(missing)}, which is not installed", fix
            )


def check_data_folder(folder: Path) -> Iterator[Diagnosis]:
    """Whether it may be written, and how much still fits."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        yield error_diagnosis("data folder", f"{there} may not be written", "Let the service's user write there.")
        return
    free = shutil.disk_usage(there).free
    message = f"{folder}: {free / 1e9:.1f} GB free"
    if free < MIN_DISK_BYTES:
        yield error_diagnosis("data folder", message, "Make room: the database could not be written.")
    elif free < LOW_DISK_BYTES:
        yield warning_diagnosis("data folder", message, "Make room for datasets and history.")
    else:
        yield ok_diagnosis("data folder", message)
    if wide := list(_list_paths_open_to_others(folder)):
        listed = format_list([str(path) for path in wide], limit=MAX_PATHS_SHOWN)
        fix = f"chmod -R go= {folder}"
        yield warning_diagnosis("data folder", f"others on this machine have rights to {listed}", fix)


def _list_paths_open_to_others(folder: Path) -> Iterator[Path]:
    """The folder, the database and the datasets, as far as others could reach them."""
    if is_open_to_others(folder):  # or nobody else gets further
        yield folder
        inside = [*sorted(folder.glob("*.db*")), folder / "datasets", *sorted(folder.glob("datasets/*.jsonl"))]
        yield from (path for path in inside if is_open_to_others(path))


def _find_missing_packages() -> dict[str, list[str]]:
    """The packages each extra still lacks."""
    lacking: dict[str, list[str]] = defaultdict(list)
    for requirement in requires("orchestrator") or ():
        name, extra = re.match(r"[\w.-]+", requirement), re.search(r"extra == ['\"]([\w-]+)", requirement)
        if name and extra:
            lacking[extra[1]] += [] if _installed(name[0]) else [name[0]]
    return dict(lacking)


def _installed(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True
