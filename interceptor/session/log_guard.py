"""A small process beside `log-level --for` or `--follow`, that outlives it by as long as it takes to put the levels back.

`session.log_keep` starts it before the first change. It reads a pipe that only the run holds: a byte is a goodbye; an end
without one is a death (kill -9, out of memory), and then the levels are put back from the record. It is in a session of its
own, so neither Ctrl-C nor a closed terminal reaches it, and nothing is imported before it is needed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

GIVE_UP = 1800.0  # seconds without a way to the cluster; the record then waits for the next run
AGAIN = 3.0
_GOODBYE_TIME = 3.0


class Guard:
    """The run's end of it."""

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        self._child = child

    @classmethod
    def start(cls, path: Path) -> Guard:
        """Start one for a record."""
        return cls(
            subprocess.Popen(
                [sys.executable, "-m", __name__, str(path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        )

    def dismiss(self) -> None:
        """Say goodbye, and see it end."""
        try:
            self._child.communicate(b".", timeout=_GOODBYE_TIME)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()

    def leave(self) -> None:
        """Leave what could not be put back to it: to it this looks like a death."""
        assert self._child.stdin is not None
        self._child.stdin.close()
        self._child.returncode = 0  # it outlives us on purpose: no reason to warn that nobody waited


def main(name: str) -> int:
    """Wait; 0 when the run said goodbye or everything is back."""
    if os.read(0, 1):
        return 0
    import asyncio  # noqa: PLC0415  most guards are dismissed and never need it

    path, deadline = Path(name), time.monotonic() + GIVE_UP
    while path.exists() and time.monotonic() < deadline:
        tried = asyncio.run(_heal(path))
        if path.exists():
            time.sleep(AGAIN if tried else 0.1)
    return int(path.exists())


async def _heal(path: Path) -> bool:
    """Try once; False while the run still holds its record: a process that dies lets go of the pipe first."""
    from interceptor.errors import InterceptorError  # noqa: PLC0415
    from interceptor.mesh.loglevel import record  # noqa: PLC0415
    from interceptor.session.access import open_cluster  # noqa: PLC0415
    from interceptor.session.log_heal import heal_one  # noqa: PLC0415
    from interceptor.session.options import Access  # noqa: PLC0415

    with record.claim(path) as left:
        if left is None:
            return False
        access = Access(**{**left.access, "as_groups": tuple(left.access["as_groups"])})
        with suppress(InterceptorError):  # nobody reads our words; the record stays, and the next run tells
            async with open_cluster(access) as cluster:
                await heal_one(cluster, path, left)
        return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
