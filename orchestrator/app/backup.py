"""Backup: what the service has written, as one tar file, and the way back.

The database is first into the file: every dataset it speaks of was there before, so it is found behind it.
"""

from __future__ import annotations

import os
import re
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import file_digest
from pathlib import Path
from typing import IO

from sqlalchemy import make_url

from orchestrator.app.database import has_database, sole_owner
from orchestrator.core.errors import ConfigError
from orchestrator.settings import Settings, database_label
from orchestrator.store import backup
from orchestrator.system.private import create_private_folder, open_private_file

DATABASE, DATASETS, ACCOUNTS = "orchestrator.db", "datasets", "accounts.toml"
_MEMBER = re.compile(rf"{re.escape(DATABASE)}|{re.escape(ACCOUNTS)}|{DATASETS}/[0-9a-f]{{16}}\.jsonl")
_OWNER_ONLY = 0o600


def back_up(settings: Settings, target: Path) -> list[str]:
    """Write the tar file and return the names of what is in it. The service may be running."""
    database = _sqlite_file(settings, "pg_dump --format=custom --file=orchestrator.dump '{url}'")
    if not has_database(settings):
        raise ConfigError(f"there is no database at {database} yet", hint="Nothing has been run: nothing to keep.")
    if target.exists():
        raise ConfigError(f"{target} exists already", hint="Choose another name, or move that file away.")
    with _explained(database, "See whether the disk is full or failing."), _beside(target) as folder:
        backup.copy(database, folder / DATABASE)
        backup.check(folder / DATABASE)
        members = {DATABASE: folder / DATABASE} | _inputs(settings)
        _pack(folder / "all", members)
        (folder / "all").rename(target)
    return list(members)


def put_back(settings: Settings, source: Path) -> list[str]:
    """Put database and datasets back where there are none, and return their names. The service must be stopped."""
    database = _sqlite_file(settings, "pg_restore --clean --if-exists --dbname='{url}' orchestrator.dump")
    with _explained(source, "Choose another backup."), sole_owner(settings):
        if there := [name for name in _files_of(database) if name.exists()]:
            raise ConfigError(
                f"there is a database already: {', '.join(map(str, there))}",
                hint="Move it away, all of it, then restore again.",
            )
        with _beside(settings.data_dir / DATASETS) as folder:
            names = _unpack(source, folder)
            create_private_folder(settings.data_dir / DATASETS)
            for path in (folder / DATASETS).glob("*"):
                path.replace(settings.data_dir / DATASETS / path.name)
            (folder / DATABASE).replace(database)
    return names


def _sqlite_file(settings: Settings, tool: str) -> Path:
    url = make_url(settings.database_url)
    if url.get_backend_name() == "sqlite" and url.database:
        return Path(url.database)
    place = database_label(settings.database_url).replace("+asyncpg", "")
    raise ConfigError(
        f"the database {place} is not a file of this program",
        hint=f"Use its own tool: {tool.format(url=place)} - the datasets are made again from the chats.",
    )


def _files_of(database: Path) -> Iterator[Path]:
    """SQLite's own: a left-over log would be taken for the restored database's."""
    return (Path(f"{database}{end}") for end in ("", "-wal", "-shm"))


def _inputs(settings: Settings) -> dict[str, Path]:
    found = {f"{DATASETS}/{path.name}": path for path in sorted((settings.data_dir / DATASETS).glob("*.jsonl"))}
    return found | ({ACCOUNTS: settings.accounts_file} if settings.accounts_file.is_file() else {})


def _pack(target: Path, members: dict[str, Path]) -> None:
    with open_private_file(target) as file:
        with tarfile.open(fileobj=file, mode="w", dereference=True) as tar:
            for name, path in members.items():
                tar.add(path, name, filter=_plain)
        file.flush()
        os.fsync(file.fileno())


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.mode, member.uid, member.gid, member.uname, member.gname = _OWNER_ONLY, 0, 0, "", ""
    return member


def _unpack(source: Path, folder: Path) -> list[str]:
    """What can be restored, checked: nothing takes its place before all of it is in order."""
    (folder / DATASETS).mkdir()
    names = []
    with tarfile.open(source) as tar:
        for member in tar:
            content = tar.extractfile(member)
            if content is None or not _MEMBER.fullmatch(member.name):
                raise ValueError(f"is not a backup of this program: it holds {member.name}")
            if member.name != ACCOUNTS:
                _write(folder / member.name, content)
                names.append(member.name)
    if DATABASE not in names:
        raise ValueError("is not a backup of this program: it holds no database")
    backup.check(folder / DATABASE)
    for path in (folder / DATASETS).iterdir():
        if not _digest(path).startswith(path.stem):
            raise ValueError(f"is damaged: {path.name} is not what its name says")
    return names


def _write(path: Path, content: IO[bytes]) -> None:
    with open_private_file(path) as file:
        shutil.copyfileobj(content, file)
        file.flush()
        os.fsync(file.fileno())


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A folder for its maker only, on the same disk."""
    create_private_folder(path.parent)
    with tempfile.TemporaryDirectory(prefix=".orchestrator-", dir=path.parent) as folder:
        yield Path(folder)


@contextmanager
def _explained(path: Path, hint: str) -> Iterator[None]:
    """What is wrong with a file, as an error of ours."""
    try:
        yield
    except ValueError as fault:
        raise ConfigError(f"{path} {fault}", hint=hint) from None
    except tarfile.TarError as fault:
        raise ConfigError(f"{path} is not a whole tar file: {fault}", hint=hint) from None
    except OSError as fault:
        raise ConfigError(
            f"{fault.filename or path}: {fault.strerror}", hint="Check the path, who may write there, and the disk."
        ) from None
