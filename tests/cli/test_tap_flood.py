"""`interceptor tap` on a terminal at a thousand requests a second: readable, and nothing goes unsaid."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import re
import struct
import sys
import termios
from pathlib import Path

import pytest

from interceptor.cli.tap_lines import MOST_LINES
from interceptor.mesh.traffic.hub import Hub
from tests.session.flood import flood, session, write_kubeconfig

COUNT = 3000
COLUMNS = 120
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
SHOWN = re.compile(r"\d\d:\d\d:\d\d\.\d{3} .* GET +/route")
MORE = re.compile(r"\.\.\. (\d+) more in this second: .*; most of them \d+ GET /route\d/{id}")
DROPPED = re.compile(r"\.\.\. (\d+) came too fast and were dropped unseen")


@pytest.mark.slow
async def test_flood_on_a_terminal(tmp_path: Path) -> None:
    hub, name = Hub(), f"orders-{tmp_path.name[-12:]}"
    environment = {**os.environ, "KUBECONFIG": str(write_kubeconfig(tmp_path)), "HOME": str(tmp_path), "TERM": "xterm"}
    argv = [sys.executable, "-m", "interceptor", "tap", f"deploy/{name}"]
    ours, theirs = pty.openpty()
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", 40, COLUMNS, 0, 0))
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        output = group.create_task(asyncio.to_thread(read_all, ours), name="read the terminal")
        async with session(hub, name):
            tap = await asyncio.create_subprocess_exec(
                *argv, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True
            )
            os.close(theirs)
            try:
                while not hub.taps:  # noqa: ASYNC110  it begins when it begins
                    await asyncio.sleep(0.01)
                (tapping,) = hub.taps
                began = asyncio.get_running_loop().time()
                await flood(hub, COUNT)
                seconds = asyncio.get_running_loop().time() - began
            except BaseException:
                tap.kill()
                raise
        assert await tap.wait() == 0  # it ends with the session
    lines = COLOUR.sub("", output.result()).splitlines()
    shown = [line for line in lines if SHOWN.match(line)]
    more = [int(found[1]) for line in lines if (found := MORE.match(line))]
    dropped = sum(int(found[1]) for line in lines if (found := DROPPED.match(line)))
    assert len(shown) + sum(more) + dropped == COUNT
    assert dropped == tapping.dropped
    assert len(more) >= 2
    assert len(shown) <= 2 * MOST_LINES * (seconds + 3)
    assert max(map(len, shown)) <= COLUMNS


def read_all(ours: int) -> str:
    """What is written until nobody has the other end any more."""
    text = b""
    try:
        while data := os.read(ours, 65536):
            text += data
    except OSError:  # EIO: the end
        pass
    finally:
        os.close(ours)
    return text.decode()
