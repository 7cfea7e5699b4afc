"""`python -m bench.checks`: how long `interceptor check --proxy` takes for 200 pods behind an API that is far away.

Compared in one run, on one stand-in for the API server (real HTTP, real port-forwards to a real proxy's answers): the check
as it is, the same with its requests one after the other, and the floor, which is one list of all pods. Rounds interleaved.
"""

import argparse
import asyncio
import json
import multiprocessing
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

import e2e.mesh
from e2e.mesh.installation import Installation
from interceptor.kube import Cluster, load_access
from interceptor.kube.resources import PODS
from interceptor.mesh.check import facts
from interceptor.mesh.check.model import Row
from interceptor.session.check import CheckOptions, check
from interceptor.session.options import Access
from tests.mesh.api import MeshApi, free_port
from tests.mesh.cluster import CONTROL, DATA, kubeconfig, objects

LIMIT = 3.0  # seconds, for 200 pods and 50 ms


def serve(pipe: Connection, pods: int, delay: float, folder: Path) -> None:
    """The far API server, in a process of its own so that its work isn't counted as the client's."""
    asyncio.run(_serve(pipe, pods, delay, folder))


async def _serve(pipe: Connection, pods: int, delay: float, folder: Path) -> None:
    installed = Installation(CONTROL, DATA, "app")
    names = tuple(f"web{number // 4}-d4fff7cfd-{number:05d}" for number in range(pods))
    pair = installed.proxy_certificate(DATA)
    (folder / "tls.crt").write_text(pair.pem)
    (folder / "tls.key").write_text(pair.key)
    api = MeshApi(objects(installed, pods=names), delay=delay)
    api.proxy_port = free_port()
    command = [sys.executable, str(folder / "proxy.py"), str(api.proxy_port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:  # noqa: ASYNC220  (before anything is served)
        assert process.stdout is not None
        process.stdout.readline()
        await api.start()
        pipe.send(api.url)
        await asyncio.get_running_loop().run_in_executor(None, pipe.recv)
        process.terminate()
        await api.stop()


async def whole(kubeconfig_: str) -> list[Row]:
    rows: list[Row] = []
    await check(CheckOptions(proxy=True, machine=False, access=Access(kubeconfig_, namespace=DATA)), rows.append)
    return rows


async def floor(kubeconfig_: str) -> list[Row]:
    async with Cluster(load_access(kubeconfig_)) as cluster:
        await cluster.list(PODS, None)
    return []


def timed(way: str, path: str) -> tuple[float, int]:
    before = facts.AT_ONCE
    facts.AT_ONCE = 1 if way == "one after the other" else before
    began = time.perf_counter()
    rows = asyncio.run(floor(path) if way == "one list of pods" else whole(path))
    seconds = time.perf_counter() - began
    facts.AT_ONCE = before
    wrong = [row for row in rows if row.result != "success"]
    if wrong:
        raise SystemExit(f"not all is well: {wrong}")
    return seconds, len(rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pods", type=int, default=200)
    parser.add_argument("--delay", type=float, default=0.05, help="seconds before each answer")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    ways = ("as it is", "one after the other", "one list of pods")
    took: dict[str, list[float]] = {way: [] for way in ways}
    with tempfile.TemporaryDirectory(prefix="bench-checks-") as name:
        folder = Path(name)
        source = Path(e2e.mesh.__file__).parent
        shutil.copy(source / "metrics.prom", folder)
        (folder / "proxy.py").write_text((source / "proxy.py").read_text().replace("/certificate", name))
        ours, theirs = multiprocessing.get_context("spawn").Pipe()
        server = multiprocessing.get_context("spawn").Process(
            target=serve, args=(theirs, options.pods, options.delay, folder)
        )
        server.start()
        path = kubeconfig(folder, ours.recv())
        count = 0
        for _ in range(options.rounds):
            for way in ways:
                seconds, rows = timed(way, path)
                took[way].append(seconds)
                count = max(count, rows)
        ours.send("end")
        server.join(10)
    medians = {way: statistics.median(values) for way, values in took.items()}
    print(
        f"{options.pods} pods, {options.delay * 1000:.0f} ms before each answer, {count} checks, {options.rounds} rounds"
    )
    for way, seconds in medians.items():
        print(f"{way:22}{seconds:6.2f} s   ({', '.join(f'{value:.2f}' for value in took[way])})")
    print(json.dumps({"limit": LIMIT, "met": medians["as it is"] < LIMIT, **medians}))
    return 0 if medians["as it is"] < LIMIT else 1


if __name__ == "__main__":
    raise SystemExit(main())
