"""Which folders of this container the developer's machine may read: its volumes, and nothing of the image; `files` asks."""

from __future__ import annotations

import json
import os
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")
# What every container has mounted without a volume. Never served: each world has its own.
_NOT_VOLUMES = ("/proc", "/sys", "/dev", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf")


def folder_of(path: str, own: Path) -> str | None:
    """Where a mount path of the container is to be opened; None for what is no volume, or holds the agent's own files.

    INTERCEPTOR_MOUNTS names pairs of path and folder instead: the embedded cluster has no mount namespaces.
    """
    mapped = os.environ.get("INTERCEPTOR_MOUNTS")
    if mapped:
        found = json.loads(mapped).get(path.rstrip("/"))
        return str(found) if found and os.path.realpath(found) != os.path.realpath(own) else None
    real = os.path.realpath(path)
    if real == "/" or any(real == other or real.startswith(other + "/") for other in _NOT_VOLUMES):
        return None
    if _holds(real, os.path.realpath(own)) or _holds(os.path.realpath(own), real):
        return None
    return real if real in mount_points(MOUNTS.read_bytes()) else None


def mount_points(table: bytes) -> set[str]:
    """The fifth word of each line of mountinfo; blanks in it are written as octal numbers."""
    found = set()
    for line in table.splitlines():
        words = line.split(b" ")
        if len(words) > 4:
            found.add(os.fsdecode(_unescape(words[4])))
    return found


def _unescape(word: bytes) -> bytes:
    first, *others = word.split(b"\\")
    return first + b"".join(bytes((int(other[:3], 8),)) + other[3:] for other in others)


def _holds(folder: str, path: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")
