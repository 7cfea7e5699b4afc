"""`python -m bench.log_levels`: how long `interceptor log-level` takes to read 200 proxies behind an API that is far away.

On a stand-in for the API server (real HTTP, real port-forwards to one program that answers as a proxy does), in one run with
the same one proxy after the other.
"""

import argparse
import asyncio
import json
import multiprocessing
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path

from bench.checks import LIMIT
from interceptor.kube.logs import LogLine
from interceptor.mesh.loglevel import proxies
from interceptor.mesh.loglevel.model import Back, Sidecar
from interceptor.mesh.loglevel.proxies import Level
from interceptor.mesh.loglevel.record import Change
from interceptor.session.log_level import LogLevelOptions, log_level
from interceptor.session.options import Access
from tests.mesh.api import MeshApi, free_port
from tests.mesh.cluster import DATA, kubeconfig
from tests.mesh.loglevel.conftest import pod_of

LEVEL = "warn,linkerd=info"
WORKLOAD = {
    "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "orders", "namespace": DATA, "uid": "0"},
    "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "orders"}}, "template": {
        "metadata": {"labels": {"app": "orders"}}, "spec": {"containers": [{"name": "app", "image": "app"}]}}},
}  # fmt: skip


class Count:
    """Takes what is found."""

    def __init__(self) -> None:
        self.read = 0

    def levels(self, workload: str, namespace: str, levels: Sequence[Level]) -> None:
        self.read += sum(level.problem is None for level in levels)

    async def line(self, pod: str, line: LogLine) -> None:
        raise AssertionError(line)

    def back(self, change: Change, back: Back) -> None:
        raise AssertionError(change)

    def note(self, text: str) -> None:
        print(text)


def serve(pipe: Connection, pods: int, delay: float) -> None:
    """The far API server, in a process of its own so that its work isn't counted as the client's."""
    asyncio.run(_serve(pipe, pods, delay))


async def _serve(pipe: Connection, pods: int, delay: float) -> None:
    sidecars = [
        Sidecar(DATA, f"orders-{number}", "linkerd-proxy", f"containerd://{number}", "Linkerd", 4191, LEVEL)
        for number in range(pods)
    ]
    api = MeshApi([(WORKLOAD, DATA), *((pod_of(sidecar), DATA) for sidecar in sidecars)], delay=delay)
    api.proxy_port = free_port()
    command = [sys.executable, "-u", "-m", "e2e.programs.linkerd_proxy", str(api.proxy_port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:  # noqa: ASYNC220  (before anything is served)
        await api.start()
        pipe.send(api.url)
        await asyncio.get_running_loop().run_in_executor(None, pipe.recv)
        process.terminate()
        await api.stop()


def timed(path: str, at_once: int) -> tuple[float, int]:
    before, proxies.AT_ONCE = proxies.AT_ONCE, at_once
    count, began = Count(), time.perf_counter()
    asyncio.run(log_level(LogLevelOptions("deploy/orders", access=Access(path, namespace=DATA)), count))
    proxies.AT_ONCE = before
    return time.perf_counter() - began, count.read


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pods", type=int, default=200)
    parser.add_argument("--delay", type=float, default=0.05, help="seconds before each answer")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    ways = {"as it is": proxies.AT_ONCE, "one after the other": 1}
    took: dict[str, list[float]] = {way: [] for way in ways}
    with tempfile.TemporaryDirectory(prefix="bench-levels-") as name:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        server = context.Process(target=serve, args=(theirs, options.pods, options.delay))
        server.start()
        path = kubeconfig(Path(name), ours.recv())
        for _ in range(options.rounds):
            for way, at_once in ways.items():
                seconds, read = timed(path, at_once)
                if read != options.pods:
                    raise SystemExit(f"{read} of {options.pods} proxies were read")
                took[way].append(seconds)
        ours.send("end")
        server.join(10)
    medians = {way: statistics.median(values) for way, values in took.items()}
    print(f"{options.pods} proxies, {options.delay * 1000:.0f} ms before each answer, {options.rounds} rounds")
    for way, seconds in medians.items():
        print(f"{way:22}{seconds:6.2f} s   ({', '.join(f'{value:.2f}' for value in took[way])})")
    print(json.dumps({"limit": LIMIT, "met": medians["as it is"] < LIMIT, **medians}))
    return 0 if medians["as it is"] < LIMIT else 1


if __name__ == "__main__":
    raise SystemExit(main())
