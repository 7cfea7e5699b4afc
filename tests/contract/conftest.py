"""The clusters of the contract: the dev cluster always, a real one when INTERCEPTOR_CONTRACT_KUBECONFIG names it."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.contract.api import Api, open_api

REAL = os.environ.get("INTERCEPTOR_CONTRACT_KUBECONFIG")
CLUSTERS = [pytest.param("dev"), *([pytest.param("real", marks=pytest.mark.cluster)] if REAL else [])]


@pytest.fixture(scope="session")
def dev_kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("devcluster")
    with subprocess.Popen(
        [sys.executable, "-m", "interceptor.devcluster", "--folder", str(folder)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        path = process.stdout.readline().strip()
        assert path, "the dev cluster did not start"
        yield path
        process.terminate()
        assert process.wait(20) == 0


@pytest.fixture(params=CLUSTERS)
def kubeconfig(request: pytest.FixtureRequest) -> str:
    if request.param == "dev":
        return str(request.getfixturevalue("dev_kubeconfig"))
    assert REAL is not None
    return REAL


@pytest_asyncio.fixture
async def api(kubeconfig: str) -> AsyncIterator[Api]:
    async with open_api(kubeconfig, f"contract-{secrets.token_hex(4)}") as opened:
        yield opened
