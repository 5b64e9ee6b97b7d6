"""The exit codes of the program. This module imports nothing heavy, because every start needs it."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What a script learns from the end of a command."""

    DONE = 0
    FAILED = 1
    """The work failed, or something is held, missing or in error. Trying again may help."""
    USAGE = 2
    """The configuration or the arguments must be corrected first; trying again does not help."""
    INTERRUPTED = 130
    """Ended by Ctrl-C: 128 + SIGINT, as shells count."""
