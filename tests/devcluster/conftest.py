"""A dev cluster in this process, and kubectl."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest_asyncio

from interceptor.devcluster.cluster import DevCluster
from tests.contract.api import Api, open_api

KUBECTL = Path(sys.executable).with_name("kubectl")


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Kubectl:
    kubeconfig: Path
    cache: str
    namespace: str = "default"

    async def __call__(self, *words: str, stdin: Any = None) -> Done:
        command = [
            str(KUBECTL),
            "--kubeconfig",
            str(self.kubeconfig),
            "--cache-dir",
            self.cache,
            "-n",
            self.namespace,
            *words,
        ]
        async with asyncio.timeout(30):
            process = await asyncio.create_subprocess_exec(
                *command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
            out, err = await process.communicate(json.dumps(stdin).encode() if stdin is not None else b"")
        assert process.returncode is not None
        return Done(process.returncode, out.decode(), err.decode())

    async def ok(self, *words: str, stdin: Any = None) -> str:
        done = await self(*words, stdin=stdin)
        assert done.code == 0, done
        return done.out


@pytest_asyncio.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[DevCluster]:
    async with DevCluster(tmp_path / "dev") as opened:
        yield opened


@pytest_asyncio.fixture
async def kubectl(cluster: DevCluster) -> AsyncIterator[Kubectl]:
    with tempfile.TemporaryDirectory() as cache:
        yield Kubectl(cluster.kubeconfig, cache)


@pytest_asyncio.fixture
async def api(cluster: DevCluster) -> AsyncIterator[Api]:
    async with open_api(str(cluster.kubeconfig), "test") as opened:
        yield opened
