"""Tab on a target lists what the cluster has, asked of the dev cluster."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest_asyncio

from interceptor.cli.complete import targets
from interceptor.devcluster.cluster import DevCluster
from interceptor.kube import Cluster, load_access
from interceptor.kube.resources import DEPLOYMENTS, SERVICES


@pytest_asyncio.fixture
async def kubeconfig(tmp_path: Path) -> AsyncIterator[Path]:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "python"}]}}
    spec: dict[str, Any] = {"replicas": 0, "selector": {"matchLabels": {"a": "b"}}, "template": template}
    async with DevCluster(tmp_path / "dev") as dev:
        async with Cluster(load_access(str(dev.kubeconfig))) as cluster:
            for name in ("orders", "prices"):
                await cluster.create(DEPLOYMENTS, "default", {"metadata": {"name": name}, "spec": spec})
            service = {"metadata": {"name": "shop"}, "spec": {"ports": [{"port": 80}], "selector": {"a": "b"}}}
            await cluster.create(SERVICES, "default", service)
        yield dev.kubeconfig


async def tab(incomplete: str, **typed: object) -> list[str]:
    """Complete as the shell's process does, with an event loop of its own."""
    return await asyncio.to_thread(targets, typed, incomplete)


async def test_tab_lists_targets(kubeconfig: Path) -> None:
    where = {"kubeconfig": str(kubeconfig), "namespace": "default"}
    assert await tab("", **where) == ["deploy/orders", "deploy/prices", "orders", "prices"]
    assert await tab("deployment/o", **where) == ["deployment/orders"]
    assert "svc/shop" in await tab("svc/", **where)
    assert await tab("pod/", **where) == []
    assert await tab("o", kubeconfig=str(kubeconfig), namespace="elsewhere") == []


def test_tab_stays_silent(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from interceptor.__main__ import main; main()"],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
        env={
            **os.environ,
            "KUBECONFIG": str(tmp_path / "missing"),
            "_INTERCEPTOR_COMPLETE": "bash_complete",
            "COMP_WORDS": "interceptor intercept o",
            "COMP_CWORD": "2",
        },
    )
    assert (done.stdout.strip(), done.stderr) == ("", "")
