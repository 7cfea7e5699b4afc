"""What this machine remembers of the levels it has raised for a while, so that a death of ours is not a proxy's for good.

One file a run, a line for each level before it is changed and another once it is back. The run holds the file's lock as
long as it lives; the kernel lets go of it however the run ends. So a file that can be locked is of a dead one: its guard, the
next `log-level` or `interceptor restore` puts the levels back (`session.log_heal`). There are names and levels in it,
and the way to the cluster as it was typed; no credentials.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from interceptor.errors import InterceptorError
from interceptor.mesh.loglevel.model import Sidecar

LARGEST = 16 * 1024 * 1024  # bytes of a file worth reading: 200 pods have some 100 KiB


@dataclass
class Change:
    """A level that was changed: `before` is to be set again; `ours` is what was read after, None if that is not known."""

    sidecar: Sidecar
    before: str
    ours: str | None = None
    since: int = 0  # ns since 1970. Not a file's own time: that moves with each line, and by 4 ms at once


@dataclass
class Left:
    """What a run remembers, in order of its steps."""

    path: Path
    access: dict[str, Any] = field(default_factory=dict)  # session.options.Access
    server: str = ""
    workload: str = ""
    namespace: str = ""
    changes: dict[tuple[str, str], Change] = field(default_factory=dict)


class Record:
    """The file of a run. Each line is on the disk before the method returns."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    @classmethod
    def begin(cls, *, access: dict[str, Any], server: str, workload: str, namespace: str) -> Record:
        """Make one. Raises InterceptorError where this machine keeps no files for us."""
        path = folder() / f"{secrets.token_hex(6)}.jsonl"
        try:
            try:
                descriptor = _create(path.with_suffix(".new"))
            except FileNotFoundError:  # another run has just removed the folder with its own last file
                descriptor = _create(path.with_suffix(".new"))
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InterceptorError(
                f"can't remember the levels in {path.parent}: {error.strerror or error}",
                hint="set XDG_STATE_HOME to a folder of yours; without a record a level could stay raised for good",
            ) from error
        record = cls(path, descriptor)
        record._line({"access": access, "server": server, "workload": workload, "namespace": namespace})
        path.with_suffix(".new").rename(path)  # whoever finds it finds it locked, and not empty
        return record

    def before(self, sidecar: Sidecar, level: str) -> None:
        """A level is changed next."""
        self._line({"sidecar": asdict(sidecar), "before": level, "since": time.time_ns()})

    def after(self, sidecar: Sidecar, level: str) -> None:
        """It has been changed, and this is what the proxy says now."""
        self._line({"key": sidecar.key, "ours": level})

    def back(self, sidecar: Sidecar) -> None:
        """It is as before."""
        self._line({"key": sidecar.key, "back": True})

    def close(self, *, forget: bool) -> None:
        """End; keep the file for a later try unless everything is back."""
        if forget:
            discard(self.path)
        os.close(self._descriptor)

    def _line(self, content: dict[str, Any]) -> None:
        os.write(self._descriptor, json.dumps(content).encode() + b"\n")
        os.fsync(self._descriptor)


def _create(path: Path) -> int:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_APPEND | os.O_CLOEXEC, 0o600)


def folder() -> Path:
    """Where the files are."""
    given = os.environ.get("XDG_STATE_HOME")
    return (Path(given) if given else Path("~/.local/state").expanduser()) / "interceptor" / "log-levels"


def known(server: str) -> dict[tuple[str, str, str], str]:
    """The levels from before all changes that other runs of this machine stand for, by namespace, pod and instance."""
    changes = [
        change
        for path in _files()
        if (left := read(path)) and left.server == server
        for change in left.changes.values()
    ]
    found: dict[tuple[str, str, str], str] = {}
    for change in sorted(changes, key=lambda change: change.since):
        found.setdefault((change.sidecar.namespace, *change.sidecar.key), change.before)
    return found


@contextlib.contextmanager
def claim(path: Path) -> Iterator[Left | None]:
    """What a dead run left, while nobody else looks after it; None for a living one's, or one that is gone by now."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        yield None
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield None
            return
        left = read(path)
        if left is None:  # whoever had the lock before us has removed it, or died before its first line was whole
            discard(path)
        yield left
    finally:
        os.close(descriptor)


def discard(path: Path) -> None:
    """Nothing is left of this run: its file, and the folders where that was the last."""
    path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        path.parent.rmdir()
        path.parent.parent.rmdir()


def all_left() -> list[Path]:
    """The files there are: of the living and of the dead."""
    return _files()


def read(path: Path) -> Left | None:
    """What a file says; None where it is gone or says nothing. A line cut off by a death says nothing."""
    try:
        with path.open("rb") as file:
            lines = file.read(LARGEST).splitlines()
    except OSError:
        return None
    left = Left(path)
    for line in lines:
        try:
            _apply(left, json.loads(line))
        except (ValueError, KeyError, TypeError):
            continue
    return left if left.server else None


def _apply(left: Left, content: dict[str, Any]) -> None:
    if "server" in content:
        left.access, left.server = dict(content["access"]), str(content["server"])
        left.workload, left.namespace = str(content["workload"]), str(content["namespace"])
    elif "before" in content:
        sidecar = Sidecar(**content["sidecar"])
        left.changes[sidecar.key] = Change(sidecar, str(content["before"]), since=int(content.get("since", 0)))
    elif "ours" in content:
        left.changes[tuple(content["key"])].ours = str(content["ours"])
    elif content.get("back"):
        left.changes.pop(tuple(content["key"]), None)


def _files() -> list[Path]:
    try:
        return sorted(folder().glob("*.jsonl"))
    except OSError:
        return []
