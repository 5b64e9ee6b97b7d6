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

from orchestrator.app.database import exclusive_database_lock, has_database
from orchestrator.core.errors import ConfigError
from orchestrator.settings import Settings, format_database_label
from orchestrator.store.db import backup
from orchestrator.system.private_files import create_private_folder, open_private_file

DATABASE_MEMBER, DATASETS_MEMBER, ACCOUNTS_MEMBER = "orchestrator.db", "datasets", "accounts.toml"
_MEMBER_PATTERN = re.compile(
    rf"{re.escape(DATABASE_MEMBER)}|{re.escape(ACCOUNTS_MEMBER)}|{DATASETS_MEMBER}/[0-9a-f]{{16}}\.jsonl"
)
_OWNER_ONLY_MODE = 0o600


def create_backup(settings: Settings, target: Path) -> list[str]:
    """Write the tar file and return the names of what is in it. The service may be running."""
    database = _get_sqlite_path(settings, "pg_dump --format=custom --file=orchestrator.dump '{url}'")
    if not has_database(settings):
        raise ConfigError(f"there is no database at {database} yet", hint="Nothing has been run: nothing to keep.")
    if target.exists():
        raise ConfigError(f"{target} exists already", hint="Choose another name, or move that file away.")
    with (
        _translate_errors(database, "See whether the disk is full or failing."),
        _temporary_folder_beside(target) as folder,
    ):
        backup.copy_database(database, folder / DATABASE_MEMBER)
        backup.validate_copy(folder / DATABASE_MEMBER)
        members = {DATABASE_MEMBER: folder / DATABASE_MEMBER} | _list_input_files(settings)
        _write_tar(folder / "all", members)
        (folder / "all").rename(target)
    return list(members)


def restore_backup(settings: Settings, source: Path) -> list[str]:
    """Put database and datasets back where there are none, and return their names. The service must be stopped."""
    database = _get_sqlite_path(settings, "pg_restore --clean --if-exists --dbname='{url}' orchestrator.dump")
    with _translate_errors(source, "Choose another backup."), exclusive_database_lock(settings):
        if there := [name for name in _sqlite_files(database) if name.exists()]:
            raise ConfigError(
                f"there is a database already: {', '.join(map(str, there))}",
                hint="Move it away, all of it, then restore again.",
            )
        with _temporary_folder_beside(settings.data_dir / DATASETS_MEMBER) as folder:
            names = _extract_checked(source, folder)
            create_private_folder(settings.data_dir / DATASETS_MEMBER)
            for path in (folder / DATASETS_MEMBER).glob("*"):
                path.replace(settings.data_dir / DATASETS_MEMBER / path.name)
            (folder / DATABASE_MEMBER).replace(database)
    return names


def _get_sqlite_path(settings: Settings, tool: str) -> Path:
    url = make_url(settings.database_url)
    if url.get_backend_name() == "sqlite" and url.database:
        return Path(url.database)
    place = format_database_label(settings.database_url).replace("+asyncpg", "")
    raise ConfigError(
        f"the database {place} is not a file of this program",
        hint=f"Use its own tool: {tool.format(url=place)} - the datasets are made again from the chats.",
    )


def _sqlite_files(database: Path) -> Iterator[Path]:
    """SQLite's own: a left-over log would be taken for the restored database's."""
    return (Path(f"{database}{end}") for end in ("", "-wal", "-shm"))


def _list_input_files(settings: Settings) -> dict[str, Path]:
    found = {
        f"{DATASETS_MEMBER}/{path.name}": path
        for path in sorted((settings.data_dir / DATASETS_MEMBER).glob("*.jsonl"))
    }
    return found | ({ACCOUNTS_MEMBER: settings.accounts_file} if settings.accounts_file.is_file() else {})


def _write_tar(target: Path, members: dict[str, Path]) -> None:
    with open_private_file(target) as file:
        with tarfile.open(fileobj=file, mode="w", dereference=True) as tar:
            for name, path in members.items():
                tar.add(path, name, filter=_anonymize_member)
        file.flush()
        os.fsync(file.fileno())


def _anonymize_member(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.mode, member.uid, member.gid, member.uname, member.gname = _OWNER_ONLY_MODE, 0, 0, "", ""
    return member


def _extract_checked(source: Path, folder: Path) -> list[str]:
    """What can be restored, checked: nothing takes its place before all of it is in order."""
    (folder / DATASETS_MEMBER).mkdir()
    names = []
    with tarfile.open(source) as tar:
        for member in tar:
            content = tar.extractfile(member)
            if content is None or not _MEMBER_PATTERN.fullmatch(member.name):
                raise ValueError(f"is not a backup of this program: it holds {member.name}")
            if member.name != ACCOUNTS_MEMBER:
                _write_file(folder / member.name, content)
                names.append(member.name)
    if DATABASE_MEMBER not in names:
        raise ValueError("is not a backup of this program: it holds no database")
    backup.validate_copy(folder / DATABASE_MEMBER)
    for path in (folder / DATASETS_MEMBER).iterdir():
        if not _compute_sha256(path).startswith(path.stem):
            raise ValueError(f"is damaged: {path.name} is not what its name says")
    return names


def _write_file(path: Path, content: IO[bytes]) -> None:
    with open_private_file(path) as file:
        shutil.copyfileobj(content, file)
        file.flush()
        os.fsync(file.fileno())


def _compute_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


@contextmanager
def _temporary_folder_beside(path: Path) -> Iterator[Path]:
    """A folder for its maker only, on the same disk."""
    create_private_folder(path.parent)
    with tempfile.TemporaryDirectory(prefix=".orchestrator-", dir=path.parent) as folder:
        yield Path(folder)


@contextmanager
def _translate_errors(path: Path, hint: str) -> Iterator[None]:
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
