"""Where COMMAND starts: `child` asks before it makes a sandbox, and goes there once that stands."""

from __future__ import annotations

import os


def where() -> str:
    """The working directory; empty for one that was deleted."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        return ""


def go_to(folder: str) -> None:
    """By its path, since a mount may lie over it now; one that can't be gone to that way, but where we still are, stays.

    That is a deleted one, and one below a folder that the user may not enter (`sudo -u` somebody else).
    """
    try:
        os.chdir(folder)
    except OSError as error:
        if where() != folder:
            raise OSError(error.errno, error.strerror, folder or "the working directory, which was deleted") from error
