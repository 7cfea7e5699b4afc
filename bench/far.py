"""How long something takes by several ways on a cluster whose API server is far away; `checks` and `log_levels` call `main`.

On a stand-in for the API server (real HTTP, real port-forwards to one program that answers as a proxy does), which is in a
process of its own so that its work isn't counted as the client's. Rounds interleaved: only those are comparable.
"""

import argparse
import asyncio
import json
import multiprocessing
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from tests.mesh.api import MeshApi, free_port
from tests.mesh.cluster import kubeconfig

LIMIT = 3.0  # seconds, for 200 pods and 50 ms
FIRST = "as it is"  # the way that is held against the limit

Objects = list[tuple[dict[str, Any], str]]


def serve(pipe: Connection, objects: Objects, proxy: list[str], delay: float) -> None:
    asyncio.run(_serve(pipe, objects, proxy, delay))


async def _serve(pipe: Connection, objects: Objects, proxy: list[str], delay: float) -> None:
    api = MeshApi(objects, delay=delay)
    api.proxy_port = free_port()
    command = [*proxy, str(api.proxy_port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:  # noqa: ASYNC220  (before anything is served)
        assert process.stdout is not None
        process.stdout.readline()  # it listens
        await api.start()
        pipe.send(api.url)
        await asyncio.get_running_loop().run_in_executor(None, pipe.recv)
        process.terminate()
        await api.stop()


def main(
    about: str | None,
    build: Callable[[int, Path], tuple[Objects, list[str]]],
    ways: Mapping[str, Callable[[str], int]],
    unit: str,
) -> int:
    """0 where the limit is met. `build` makes objects for so many pods and the command of their proxy, less its port; a way
    is given the kubeconfig and returns how many it found.
    """
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--pods", type=int, default=200)
    parser.add_argument("--delay", type=float, default=0.05, help="seconds before each answer")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    took: dict[str, list[float]] = {way: [] for way in ways}
    most = 0
    with tempfile.TemporaryDirectory(prefix="bench-far-") as name:
        folder = Path(name)
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        server = context.Process(target=serve, args=(theirs, *build(options.pods, folder), options.delay))
        server.start()
        path = kubeconfig(folder, ours.recv())
        for _ in range(options.rounds):
            for way, find in ways.items():
                began = time.perf_counter()
                most = max(most, find(path))
                took[way].append(time.perf_counter() - began)
        ours.send("end")
        server.join(10)
    medians = {way: statistics.median(values) for way, values in took.items()}
    delay = f"{options.delay * 1000:.0f} ms before each answer"
    print(f"{options.pods} pods, {delay}, {most} {unit}, {options.rounds} rounds")
    for way, seconds in medians.items():
        print(f"{way:22}{seconds:6.2f} s   ({', '.join(f'{value:.2f}' for value in took[way])})")
    met = medians[FIRST] < LIMIT
    print(json.dumps({"limit": LIMIT, "met": met, **medians}))
    return 0 if met else 1
