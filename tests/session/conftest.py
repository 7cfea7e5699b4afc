"""One dev cluster for all tests of this folder, as a process of its own; a namespace for each of them."""

from __future__ import annotations

import secrets
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.contract.api import open_api
from tests.session.scene import Scene


@pytest.fixture(scope="session")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    command = [sys.executable, "-m", "interceptor.devcluster", "--folder", str(tmp_path_factory.mktemp("dev"))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield Path(process.stdout.readline().strip())
        process.terminate()
        assert process.wait(20) == 0


@pytest_asyncio.fixture
async def scene(kubeconfig: Path) -> AsyncIterator[Scene]:
    """The cluster, with no workload yet."""
    async with open_api(str(kubeconfig), f"shop-{secrets.token_hex(3)}", until_gone=False) as api:
        try:
            yield Scene(api)
        finally:
            await api.ok("DELETE", "/faults")


@pytest_asyncio.fixture
async def orders(scene: Scene) -> Scene:
    """The same with deploy/orders up: one pod, port 8080."""
    await scene.deploy()
    return scene
