"""Replaces a file as a whole: a reader, a crash and Ctrl-C see the old content or the new, never a part of it."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final

NEW_FILE_MODE: Final = 0o644  # less what the umask takes away
PRIVATE_FILE_MODE: Final = 0o600
MAX_NAME_CHARACTERS: Final = 40  # of the file's name in that of the temporary file: a name has at most 255 bytes


def replace_file(path: Path, content: bytes) -> None:
    """Replace the content of a file, or create it, see `write_replacement`. Raises OSError."""
    write_replacement(path, lambda file: file.write(content))


def write_replacement(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Let `write` fill a temporary file beside `path`, and rename that. Raises OSError.

    A file that exists keeps its permissions and, where that is allowed, its owner; a new one has those that the umask
    allows. A symbolic link stays a link. A device or a pipe is refused: root would replace /dev/null for everybody.
    """
    target = path.resolve()
    try:
        before: os.stat_result | None = target.stat()
    except FileNotFoundError:
        before = None
    if before and not stat.S_ISREG(before.st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file", str(target))
    temporary = target.with_name(f".{target.name[:MAX_NAME_CHARACTERS]}.{secrets.token_hex(8)}.new")
    mode = PRIVATE_FILE_MODE if before else NEW_FILE_MODE
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            if before:
                with contextlib.suppress(PermissionError):  # only root may give a file to another user
                    os.fchown(file.fileno(), before.st_uid, before.st_gid)
                os.fchmod(file.fileno(), stat.S_IMODE(before.st_mode))
            write(file)
            file.flush()
            os.fsync(file.fileno())  # before the rename: otherwise a power failure can leave an empty file
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
