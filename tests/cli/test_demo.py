"""The demo is told to the end, with what it claims, and leaves nothing."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from interceptor.cli.demo_stage import free_port
from interceptor.devcluster import shopfront

COMMAND = [sys.executable, "-m", "interceptor", "demo"]


def programs() -> set[int]:
    """Processes that run the shop, here or in a pod."""
    return {
        process.pid for process in psutil.process_iter(["cmdline"])
        if any(Path(word).name == shopfront.PROGRAM.name for word in process.info["cmdline"] or ())
    }  # fmt: skip


def gone(before: set[int], within: float = 30.0) -> bool:
    deadline = time.monotonic() + within
    while programs() - before and time.monotonic() < deadline:
        time.sleep(0.1)
    return not programs() - before


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(folder)} | {"KUBECONFIG": str(folder / "none"), "NO_COLOR": "1"}


@pytest.mark.slow
@pytest.mark.timeout(200)  # nine seconds where nothing else runs
def test_demo_tells_its_story(tmp_path: Path) -> None:
    before = programs()
    done = subprocess.run(
        COMMAND,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    orders = re.findall(r"orders +(v1|draft) +(.*)", done.stdout)
    assert [version for version, _ in orders] == ["v1", "draft", "v1"]
    assert orders[1][1] == "on YOUR MACHINE"
    assert all(where.startswith("in the cluster, pod orders-") for _, where in (orders[0], orders[2]))
    assert "none failed" in done.stdout
    assert "exactly as it was" in done.stdout
    assert "\x1b" not in done.stdout
    assert gone(before)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.timeout(200)  # nine seconds where nothing else runs
@pytest.mark.parametrize("chapter", ["1. ", "2. ", "3. ", "ready ", "4. "])
def test_interrupted_demo_leaves_nothing(tmp_path: Path, chapter: str) -> None:
    before = programs()
    with subprocess.Popen(
        COMMAND,
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip().startswith(chapter.strip()):
                break
        os.killpg(process.pid, signal.SIGINT)  # Ctrl-C reaches the whole foreground group
        assert process.wait(100) == 130, process.stdout.read()
    assert gone(before)
    assert list(tmp_path.iterdir()) == []


def test_taken_port_is_avoided() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        number = taken.getsockname()[1]
        assert free_port(number) != number
    assert free_port(number) == number
