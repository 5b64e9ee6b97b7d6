"""Backup and restore of the SQLite database and the datasets, as one tar file."""

# Theory of operation
#
# Backup. The service may be running. SQLite's backup API copies one consistent moment of the database, which is then
# checked for damage. The datasets are added after the database: a dataset file is written before the database refers
# to it and is never changed, so that every dataset of the copied database is in the tar file. The tar file is built
# in a temporary folder on the same disk and renamed at the end, so that an interrupted backup leaves no half file. It
# contains no key; the copy of the accounts file is for people to read, and is not restored.
#
# Restore. The lock of the database keeps the service out. Every member is extracted into a temporary folder and
# checked first: its name, the integrity of the database, and each dataset against its name, which begins its SHA-256.
# Only then are the files moved into place, the database last: a restore that dies half way leaves no database that
# refers to a missing dataset. An old write-ahead log (`-wal`) beside the database would be applied to the restored
# one, therefore a restore refuses to start while any file of an old database is there.

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
from orchestrator.system.regular_file import open_regular_file

DATABASE_MEMBER, DATASETS_MEMBER, ACCOUNTS_MEMBER = "orchestrator.db", "datasets", "accounts.toml"
_MEMBER_PATTERN = re.compile(
    rf"{re.escape(DATABASE_MEMBER)}|{re.escape(ACCOUNTS_MEMBER)}|{DATASETS_MEMBER}/[0-9a-f]{{16}}\.jsonl"
)
_OWNER_ONLY_MODE = 0o600
_TEMPORARY_PREFIX = ".orchestrator-"
_ABANDONED_SECONDS = 24 * 3600.0  # a backup may run beside another one, but not for so long
_COMPRESSED_STARTS = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")  # gzip, bzip2, xz, zstd
MAX_NAME_CHARACTERS = 200  # of a member, in a message


def create_backup(settings: Settings, target: Path) -> list[str]:
    """Write a new tar file and return the names of its members. Raises ConfigError."""
    database = _get_sqlite_path(settings, "pg_dump --format=custom --file=orchestrator.dump '{url}'")
    if not has_database(settings):
        raise ConfigError(
            f"there is no database at {database} yet", hint="Start a run first, or check ORCHESTRATOR_DATA_DIR."
        )
    if target.exists():
        raise ConfigError(f"{target} exists already", hint="Choose another name, or move the file away.")
    with (
        _translate_errors(database, "Check whether the disk is full or failing."),
        _temporary_folder_beside(target) as folder,
    ):
        _copy_database(database, folder / DATABASE_MEMBER)
        backup.validate_copy(folder / DATABASE_MEMBER)
        members = {DATABASE_MEMBER: folder / DATABASE_MEMBER} | _list_input_files(settings)
        _write_tar(folder / "all", members)
        (folder / "all").rename(target)
    return list(members)


def restore_backup(settings: Settings, source: Path) -> list[str]:
    """Restore database and datasets, and return the names of the members. The service must be stopped.

    Raises ConfigError if there is a database already or the backup is damaged, and DatabaseLocked if the service
    runs.
    """
    database = _get_sqlite_path(settings, "pg_restore --clean --if-exists --dbname='{url}' orchestrator.dump")
    with _translate_errors(source, "Choose another backup."), exclusive_database_lock(settings):
        if existing := [path for path in _sqlite_files(database) if path.exists()]:
            raise ConfigError(
                f"there is a database already: {', '.join(map(str, existing))}",
                hint="Move all of these files away, then restore again.",
            )
        with _temporary_folder_beside(settings.data_dir / DATASETS_MEMBER) as folder:
            names = _extract_checked(source, folder)
            create_private_folder(settings.data_dir / DATASETS_MEMBER)
            for path in (folder / DATASETS_MEMBER).glob("*"):
                path.replace(settings.data_dir / DATASETS_MEMBER / path.name)
            (folder / DATABASE_MEMBER).replace(database)
    return names


def _copy_database(database: Path, target: Path) -> None:
    try:
        backup.copy_database(database, target)
    except PermissionError as error:
        raise ConfigError(
            f"{database} {error.strerror}",
            hint="Run the command as the service's user: SQLite writes to the file's folder even to read the file.",
        ) from None


def _get_sqlite_path(settings: Settings, postgresql_command: str) -> Path:
    url = make_url(settings.database_url)
    if url.get_backend_name() == "sqlite" and url.database:
        return Path(url.database)
    label = format_database_label(settings.database_url).replace("+asyncpg", "")
    raise ConfigError(
        f"the database {label} is not a SQLite file",
        hint=f"Use PostgreSQL's tool: {postgresql_command.format(url=label)}. Datasets are rebuilt from the chats.",
    )


def _sqlite_files(database: Path) -> Iterator[Path]:
    """Yield the paths of the database and of its write-ahead log and index."""
    return (Path(f"{database}{suffix}") for suffix in ("", "-wal", "-shm"))


def _list_input_files(settings: Settings) -> dict[str, Path]:
    datasets = {
        f"{DATASETS_MEMBER}/{path.name}": path
        for path in sorted((settings.data_dir / DATASETS_MEMBER).glob("*.jsonl"))
    }
    return datasets | ({ACCOUNTS_MEMBER: settings.accounts_file} if settings.accounts_file.is_file() else {})


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
    """Extract the members into a folder, check them, and return their names. Raises ValueError without the path."""
    (folder / DATASETS_MEMBER).mkdir()
    names: list[str] = []
    with open_regular_file(source) as file:
        if file.read(6).startswith(_COMPRESSED_STARTS):
            raise ValueError("is compressed, and a backup is a plain tar file: decompress it first")
        file.seek(0)
        # "r:" decompresses nothing: a few bytes could otherwise fill the disk.
        with tarfile.open(fileobj=file, mode="r:") as tar:
            for member in tar:
                if not _is_backup_member(member) or member.name in names:
                    raise ValueError(
                        f"is not a backup of orchestrator: it contains {member.name[:MAX_NAME_CHARACTERS]}"
                    )
                content = tar.extractfile(member)
                if content is not None and member.name != ACCOUNTS_MEMBER:
                    _write_file(folder / member.name, content)
                    names.append(member.name)
    if DATABASE_MEMBER not in names:
        raise ValueError("is not a backup of orchestrator: it contains no database")
    backup.validate_copy(folder / DATABASE_MEMBER)
    for path in (folder / DATASETS_MEMBER).iterdir():
        if not _compute_sha256(path).startswith(path.stem):
            raise ValueError(f"is damaged: the content of {path.name} does not match its name")
    return names


def _is_backup_member(member: tarfile.TarInfo) -> bool:
    """Return whether the member is a plain file of a backup: no link, no device, no sparse file of any size."""
    is_plain = member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not member.issparse()
    return is_plain and _MEMBER_PATTERN.fullmatch(member.name) is not None


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
    """Yield a temporary private folder beside `path`, on the same disk, so that files can be renamed into place.

    Deletes what killed backups and restores have left there, which may be as large as the database.
    """
    create_private_folder(path.parent)
    with tempfile.TemporaryDirectory(prefix=_TEMPORARY_PREFIX, dir=path.parent) as folder:
        created_at = Path(folder).stat().st_mtime
        for old in path.parent.glob(f"{_TEMPORARY_PREFIX}*"):
            if created_at - old.stat().st_mtime > _ABANDONED_SECONDS:
                shutil.rmtree(old, ignore_errors=True)
        yield Path(folder)


@contextmanager
def _translate_errors(path: Path, hint: str) -> Iterator[None]:
    """Raise ConfigError for any error of a file or of its content."""
    try:
        yield
    except ValueError as error:
        raise ConfigError(f"{path} {error}", hint=hint) from None
    except tarfile.TarError as error:
        raise ConfigError(f"{path} is not a complete tar file: {error}", hint=hint) from None
    except OSError as error:
        raise ConfigError(
            f"{error.filename or path}: {error.strerror}", hint="Check the path, its permissions, and the disk."
        ) from None
