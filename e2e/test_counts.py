"""HTTP/1.1, HTTP/2 and gRPC mixed through one intercept: the generator, tap and routes count the same, and time the same.

E2E_LONG=1 sends 100,000 requests as fast as they go, instead of a few thousand at a pace at which a request's time is mostly
its server's. What the generator sees has the way through the tunnel in it, and everybody's wait for a processor: how much
that is depends on the machine, so it is told and not judged.
"""

import json
import subprocess
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from e2e import manifests
from e2e.intercept import installed
from e2e.process import LocalServer
from e2e.scene import LONG, Scene, free_port

COUNT, SCALE = (100_000, 1) if LONG else (6_000, 5)
PORTS = ({"containerPort": 8080, "name": "http"}, {"containerPort": 8081, "name": "grpc"})
TOLD_WITHIN = 30.0


class Tapped:
    """`interceptor tap -o json` into a file: 100,000 lines are too many to keep in memory."""

    def __init__(self, file: Path) -> None:
        self.counts: Counter[str] = Counter()
        self.latencies: dict[str, list[float]] = defaultdict(list)
        self.warm, self.dropped = 0, 0
        self.file = file.open("rb")
        self._rest = b""

    def read(self) -> int:
        """Take what is new; the number of the generator's requests until now."""
        while data := self.file.read(1 << 20):
            *lines, self._rest = (self._rest + data).split(b"\n")
            for line in lines:
                self._take(json.loads(line))
        return self.counts.total()

    def _take(self, record: Mapping[str, Any]) -> None:
        self.dropped = max(self.dropped, record["dropped"])
        if record["stage"] != "ended":
            return
        path = record["path"].split("/")
        if path[1] == "none":
            self.warm += 1
            return
        route = f"{record['method']} {'/'.join([*path[:-1], '{id}' if path[-1].isdigit() else path[-1]])}"
        status = f"grpc {record['grpc_status']}" if "grpc_status" in record else record["status"]
        self.counts[f"{route} {status}"] += 1
        self.latencies[route].append(record["latency_ms"])


@contextmanager
def tapping(scene: Scene, file: Path) -> Iterator[Tapped]:
    argv = [*installed(), "tap", "deploy/echo", "-n", scene.namespace, "-o", "json"]
    with file.open("wb") as out, subprocess.Popen(argv, stdout=out, env=scene.environment()) as tap:
        tapped = Tapped(file)
        try:
            yield tapped
        finally:
            tap.terminate()
            tap.wait(20)
            tapped.file.close()


def until(tapped: Tapped, wanted: Mapping[str, int]) -> None:
    deadline = time.monotonic() + TOLD_WITHIN
    while tapped.read() < sum(wanted.values()):
        missing = Counter(wanted) - tapped.counts
        assert time.monotonic() < deadline, f"not tapped: {missing}; {tapped.dropped} dropped"
        time.sleep(0.1)


def percentile(ordered: list[float], share: int) -> float:
    """By nearest rank: the smallest that so many are not above."""
    return ordered[-(-len(ordered) * share // 100) - 1]


def is_close(one: float, other: float) -> bool:
    """Within 5 % or 1 ms."""
    return abs(one - other) <= max(1.0, 0.05 * max(one, other))


@pytest.mark.timeout(400 if LONG else 180)
def test_everybody_counts_the_same(scene: Scene) -> None:
    scene.deploy(manifests.deployment(scene.container(*PORTS)), manifests.service())
    scene.tools()
    grpc_port = free_port()
    server = scene.stack.enter_context(LocalServer("mixed", "server", str(free_port()), str(grpc_port), str(SCALE)))
    with scene.unchanged():
        intercept = scene.started("deploy/echo", "--port", f"{server.port}:8080", "--port", f"{grpc_port}:8081")
        address = scene.pod_address()
        with tapping(scene, scene.folder / "tap.jsonl") as tapped:
            deadline = time.monotonic() + 30
            while not tapped.warm:  # the tap takes a moment to begin
                assert time.monotonic() < deadline, "the tap shows nothing"
                scene.ask("client", "burst", f"http://{address}:8080/none/1", 1, 1)
                tapped.read()
            told = scene.ask("mixed", "load", address, 8080, 8081, COUNT, timeout=300)
            until(tapped, told["counts"])
            routes = scene.run("routes", "deploy/echo", "-n", scene.namespace, "-t", "10m", "-o", "json")
            assert routes.wait(60) == 0, routes.transcript()
        intercept.stop()
    rows = {row["route"]: row for row in json.loads(routes.text("stdout"))["deploy/echo"]}
    rows.pop("GET /none/{id}", None)
    counted = {f"{name} {status}": number for name, row in rows.items() for status, number in row["statuses"].items()}
    assert sum(told["counts"].values()) == COUNT
    assert dict(tapped.counts) == told["counts"]
    assert counted == told["counts"]
    assert tapped.dropped == 0
    assert sum(row["request_bytes"] for row in rows.values()) > 0
    rate = COUNT / told["seconds"]
    scene.measured(f"{COUNT} requests, {rate:.0f}/s: tap, routes and the generator agree on {len(counted)} counts")
    apart = []
    for name, row in sorted(rows.items()):
        ordered = sorted(tapped.latencies[name])
        for share, seen in zip((50, 95, 99), told["latencies"][name], strict=True):
            shown, exact = row[f"latency_ms_p{share}"], percentile(ordered, share)
            if not is_close(shown, exact):
                apart.append(f"{name} p{share}: routes {shown:.1f}, tap {exact:.1f} ms")
            scene.measured(f"{name} p{share}: routes {shown:.1f}, tap {exact:.1f}, generator {seen:.1f} ms")
            assert seen >= exact - 1.0, name  # it has the way there and back in it
    assert not apart, apart
