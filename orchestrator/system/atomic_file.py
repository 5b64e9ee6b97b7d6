"""Replaces a file as a whole: a reader, a crash and Ctrl-C see the old content or the new, never a part of it."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from pathlib import Path
from typing import Final

NEW_FILE_MODE: Final = 0o644


def replace_file(path: Path, content: bytes) -> None:
    """Write the content to a temporary file beside `path` and rename it. Raises OSError.

    A file that exists keeps its permissions and, where that is allowed, its owner. A symbolic link stays a link.
    """
    target = path.resolve()
    try:
        before: os.stat_result | None = target.stat()
    except FileNotFoundError:
        before = None
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".new", dir=target.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            if before:
                with contextlib.suppress(PermissionError):  # only root may give a file to another user
                    os.fchown(file.fileno(), before.st_uid, before.st_gid)
            os.fchmod(file.fileno(), stat.S_IMODE(before.st_mode) if before else NEW_FILE_MODE)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # before the rename: otherwise a power failure can leave an empty file
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
