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

from orchestrator.app.doctor.diagnosis import Diagnosis, doubtful, fine, wrong
from orchestrator.core.delivery import Way
from orchestrator.sources.accounts import AccountsFile
from orchestrator.system.private import is_open_to_others

NAMED = 3  # paths that a line names
LITTLE_BYTES, TOO_LITTLE_BYTES = 1_000_000_000, 50_000_000


def program() -> Iterator[Diagnosis]:
    """Version, Python, extras."""
    extras = _extras()
    there = [name for name, missing in extras.items() if not missing]
    python = ".".join(map(str, sys.version_info[:3]))
    yield fine("program", f"{version('orchestrator')} on Python {python}; extras: {', '.join(there) or 'none'}")


def needs(file: AccountsFile) -> Iterator[Diagnosis]:
    """What the accounts file asks for that is not installed."""
    asked = {
        "alerts": any(target.way is Way.ALERT for target in file.targets),
        "open-models": bool(file.tokenizers),
    }
    for extra, missing in _extras().items():
        if asked.get(extra) and missing:
            fix = f"pip install 'orchestrator[{extra}]'"
            yield wrong("program", f"the accounts file needs {', '.join(missing)}, which is not installed", fix)


def data_folder(folder: Path) -> Iterator[Diagnosis]:
    """Whether it may be written, and how much still fits."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        yield wrong("data folder", f"{there} may not be written", "Let the service's user write there.")
        return
    free = shutil.disk_usage(there).free
    message = f"{folder}: {free / 1e9:.1f} GB free"
    if free < TOO_LITTLE_BYTES:
        yield wrong("data folder", message, "Make room: the database could not be written.")
    elif free < LITTLE_BYTES:
        yield doubtful("data folder", message, "Make room for datasets and history.")
    else:
        yield fine("data folder", message)
    if wide := list(_open_to_others(folder)):
        listed = " ".join(map(str, wide[:NAMED])) + (f" and {len(wide) - NAMED} more" if len(wide) > NAMED else "")
        fix = f"chmod -R go= {folder}"
        yield doubtful("data folder", f"others on this machine have rights to {listed}", fix)


def _open_to_others(folder: Path) -> Iterator[Path]:
    """The folder, the database and the datasets, as far as others could reach them."""
    if is_open_to_others(folder):  # or nobody else gets further
        yield folder
        inside = [*sorted(folder.glob("*.db*")), folder / "datasets", *sorted(folder.glob("datasets/*.jsonl"))]
        yield from (path for path in inside if is_open_to_others(path))


def _extras() -> dict[str, list[str]]:
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
