"""A program on a terminal of its own, as a person has it: what is typed, what is seen, the size, the end."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from e2e.process import ROOT


class Terminal:
    """A child whose controlling terminal is ours; ended with the context by its id."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str], *, columns: int = 100, rows: int = 30) -> None:
        self.seen = ""
        self._ours, theirs = pty.openpty()
        self.resize(columns, rows)
        self._child = subprocess.Popen(
            list(argv), cwd=ROOT, env=dict(env), stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 (one call, no locks)
        )  # fmt: skip
        os.close(theirs)

    def resize(self, columns: int, rows: int) -> None:
        """The kernel tells the foreground program by SIGWINCH."""
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def press(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def see(self, wanted: str, within: float = 60) -> str:
        """What came up to and with the wanted text; the next call begins behind it."""
        deadline = time.monotonic() + within
        while wanted not in self.seen:
            left = deadline - time.monotonic()
            ready = left > 0 and select.select([self._ours], [], [], left)[0]
            if not ready or not (more := self._read()):
                raise AssertionError(f"not seen: {wanted!r}, but: {self.seen!r}")
            self.seen += more
        before, _, self.seen = self.seen.partition(wanted)
        return before + wanted

    def _read(self) -> str:
        try:
            return os.read(self._ours, 65536).decode(errors="replace")
        except OSError:  # EIO: nobody has the other end any more
            return ""

    def wait(self, timeout: float) -> int:
        """Its exit status; what it still writes is read, or it could not end."""
        deadline = time.monotonic() + timeout
        while (status := self._child.poll()) is None:
            assert time.monotonic() < deadline, f"still running: {self.seen!r}"
            if select.select([self._ours], [], [], 0.1)[0]:
                self.seen += self._read()
        return status

    def is_raw(self) -> bool:
        """Whether its keys are passed on one by one."""
        return not termios.tcgetattr(self._ours)[3] & termios.ICANON

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._child.poll() is None:
            self._child.kill()
            self._child.wait(10)
        os.close(self._ours)
