from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml

from interceptor.devcluster.cluster import DevCluster
from tests.contract.api import open_api
from tests.contract.manifests import container, pod
from tests.devcluster.conftest import Kubectl

MARK = "import time; time.sleep(1000)  # dev cluster test"


def marked(mark: str) -> list[int]:
    running = psutil.process_iter(["cmdline"])
    return [process.pid for process in running if any(mark in word for word in process.info["cmdline"] or ())]


def until_none(mark: str, within: float = 20.0) -> list[int]:
    deadline = time.monotonic() + within
    while (found := marked(mark)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


async def test_two_live_side_by_side(tmp_path: Path) -> None:
    async with DevCluster(tmp_path / "a") as one, DevCluster(tmp_path / "b") as two:
        assert one.server != two.server


async def test_end_leaves_nothing(tmp_path: Path) -> None:
    mark = f"{MARK} {tmp_path}"
    async with DevCluster(tmp_path / "dev") as cluster, open_api(str(cluster.kubeconfig), "test") as api:
        daemon = f"setsid python3 -c '{mark}' & exec python3 -c '{mark}'"
        await api.ok("POST", api.path("pods"), pod("one", container(command=["sh", "-c", daemon])))
        path = api.path("pods", "one")
        await api.eventually(lambda: api.get(path), lambda found: found["status"]["phase"] == "Running")
        while len(marked(mark)) < 2:
            time.sleep(0.05)  # noqa: ASYNC251  (a process to come up)
    assert not until_none(mark)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_signal_leaves_nothing(tmp_path: Path, number: int) -> None:
    """As a program of its own: also when it is killed, no process of a pod is left."""
    mark = f"{MARK} {tmp_path}"
    with subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, "-m", "interceptor.devcluster", "--folder", str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        kubectl = Kubectl(Path(process.stdout.readline().strip()), str(tmp_path / "cache"))
        await kubectl.ok("run", "one", "--image=python:3.13-slim", "--command", "--", "python3", "-c", mark)
        await kubectl.ok("wait", "--for=condition=Ready", "pod/one", "--timeout=60s")
        assert marked(mark)
        os.kill(process.pid, number)
        assert process.wait(30) == (0 if number == signal.SIGTERM else -number)
        assert not until_none(mark)


def test_program_says_where(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "interceptor.devcluster", "--folder", str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        path = Path(process.stdout.readline().strip())
        config = yaml.safe_load(path.read_text())
        process.terminate()
        process.wait(30)
    assert config["clusters"][0]["cluster"]["server"].startswith("https://127.")


async def test_port_is_only_loopback(cluster: DevCluster) -> None:
    host, port = cluster.server.removeprefix("https://").split(":")
    assert host.startswith("127.")
    with socket.create_connection((host, int(port)), timeout=20):
        pass
