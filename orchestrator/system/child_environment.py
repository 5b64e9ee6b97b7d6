"""The environment of the program's own child processes, which read data of other parties and need no secret."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Final

_NAMES: Final = frozenset({"PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "TEMP", "TMP", "TZ", "LANG", "LANGUAGE"})
_PREFIXES: Final = (
    "LC_",
    "PYTHON",
    "LD_",  # the loader
    "DYLD_",
    "GLIBC_",
    "MALLOC_",
    "FAKETIME",  # a simulated clock: the child would see another one
    "COVERAGE_",
)


def build_child_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a child process that runs the same Python modules.

    It has only what Python and the C library read. Every other variable may be a key (`env:NAME` of the accounts
    file), a token of the service or the password of its database. A child that reads chats, which come from anywhere,
    must not have them, and other processes of the same user can read its environment in /proc.
    """
    kept = {name: value for name, value in environ.items() if name in _NAMES or name.startswith(_PREFIXES)}
    # This path: the child imports the modules of the parent, not those of the current folder.
    return kept | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
