"""HTTP/1.1, HTTP/2 and gRPC mixed through one intercept: the generator, tap and routes count the same, and time the same.

Times are compared at a rate that any machine carries, held whatever the answers do. Callers that wait for one another's
answers keep every processor busy, and then a caller's figure is mostly its own wait for one: at that speed only counts are
compared, of 100,000 requests with E2E_LONG=1. What a caller sees has the way through the tunnel in it, there and back, and
the wait of five programs for a processor: requests that take no time, sent among the others, say how long that is.
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

COUNT, SCALE = (100_000, 1) if LONG else (3_000, 5)
PACED, RATE, ROUNDS = 2_080, 240, 6  # a stall of the machine spoils a round
SHARES = (50, 95, 99)
WARM = "GET /none/{id}"
WAYS = {"/none": WARM, "/v2": "GET /v2/none/{id}", "/shop": "POST /shop.Shop/None"}  # by protocol
PORTS = ({"containerPort": 8080, "name": "http"}, {"containerPort": 8081, "name": "grpc"})
TOLD_WITHIN = 60.0


class Tapped:
    """`interceptor tap -o json` into a file: 100,000 lines are too many to keep in memory."""

    def __init__(self, file: Path) -> None:
        self.counts: Counter[str] = Counter()
        self.latencies: dict[str, list[float]] = defaultdict(list)
        self.dropped = 0
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
            tap.wait(120)
            tapped.file.close()


def until(tapped: Tapped, wanted: int) -> None:
    deadline = time.monotonic() + TOLD_WITHIN
    while tapped.read() < wanted:
        missing = wanted - tapped.counts.total()
        assert time.monotonic() < deadline, f"{missing} not tapped; {tapped.dropped} dropped; {tapped.counts}"
        time.sleep(0.1)


def percentile(ordered: list[float], share: int) -> float:
    """By nearest rank: the smallest that so many are not above."""
    return ordered[-(-len(ordered) * share // 100) - 1]


def is_close(one: float, other: float) -> bool:
    """Within 5 % or 1 ms."""
    return abs(one - other) <= max(1.0, 0.05 * max(one, other))


def rows_of(scene: Scene) -> dict[str, Any]:
    """What `routes` says, by route; without that by which the tap is known to have begun."""
    said = scene.run("routes", "deploy/echo", "-n", scene.namespace, "-t", "10m", "-o", "json")
    assert said.wait(120) == 0, said.transcript()
    return {row["route"]: row for row in json.loads(said.text("stdout"))["deploy/echo"] if row["route"] != WARM}


class Times:
    """Percentiles of the same requests, as they were asked and as they passed."""

    def __init__(self, asked: Mapping[str, list[float]], passed: Mapping[str, list[float]]) -> None:
        self.all = 0
        self.apart: list[str] = []  # beyond 5 % and 1 ms
        self.unexplained: dict[tuple[str, int], str] = {}  # and beyond the way
        ways = {name: sorted(asked[route]) for name, route in WAYS.items()}
        self.way = ", ".join(f"{route} {percentile(ways[name], 50):.1f} ms" for name, route in WAYS.items())
        for route in sorted(asked.keys() - WAYS.values()):
            way = ways["/v2" if "/v2/" in route else "/shop" if "/shop" in route else "/none"]
            seen, shown = sorted(asked[route]), sorted(passed[route])
            assert len(seen) == len(shown), route
            for share in SHARES:
                if len(seen) >= 100 or share < 99:  # of fewer it is the slowest one
                    self._judge(route, share, percentile(seen, share), percentile(shown, share), way)

    def _judge(self, route: str, share: int, asked: float, passed: float, way: list[float]) -> None:
        self.all += 1
        assert asked >= passed - 1.0, route  # it has the way there and back in it
        if is_close(asked, passed):
            return
        text = f"{route} p{share}: tap {passed:.1f}, generator {asked:.1f} ms"
        self.apart.append(text)
        # Times spread over far more than the way's are shifted by its mean, others by its own percentile at most.
        if not is_close(max(passed, asked - max(sum(way) / len(way), percentile(way, share))), passed):
            self.unexplained[route, share] = text


def times_agree(scene: Scene, address: str, tapped: Tapped) -> None:
    """Hold the rate until all three tell the same times, at most a few times."""
    unexplained: set[tuple[str, int]] | None = None
    for _ in range(ROUNDS):
        before = {route: len(found) for route, found in tapped.latencies.items()}
        told = scene.ask("mixed", "load", address, 8080, 8081, PACED, RATE, timeout=120)
        until(tapped, sum(before.values()) + PACED)
        new = {route: found[before.get(route, 0) :] for route, found in tapped.latencies.items()}
        times = Times(told["latencies"], new)
        late = percentile(sorted(told["late"]), 99)
        close = f"{times.all - len(times.apart)} of {times.all} percentiles within 5 % or 1 ms"
        scene.measured(
            f"{PACED} requests at {RATE}/s, 1 % of them {late:.0f} ms late or more: {close}; way {times.way}"
        )
        for text in times.apart:
            scene.measured(text)
        unexplained = set(times.unexplained) if unexplained is None else unexplained & set(times.unexplained)
        if not unexplained:
            break
    assert not unexplained, times.unexplained
    for name, row in rows_of(scene).items():
        ordered = sorted(tapped.latencies[name])
        for share in SHARES:
            shown, exact = row[f"latency_ms_p{share}"], percentile(ordered, share)
            assert is_close(shown, exact), f"{name} p{share}: routes {shown:.1f}, tap {exact:.1f} ms"


@pytest.mark.timeout(600 if LONG else 400)
def test_everybody_counts_the_same(scene: Scene) -> None:
    scene.deploy(manifests.deployment(scene.container(*PORTS)), manifests.service())
    scene.tools()
    grpc_port = free_port()
    server = scene.stack.enter_context(LocalServer("mixed", "server", str(free_port()), str(grpc_port), str(SCALE)))
    with scene.unchanged():
        intercept = scene.started("deploy/echo", "--port", f"{server.port}:8080", "--port", f"{grpc_port}:8081")
        address = scene.pod_address()
        with tapping(scene, scene.folder / "tap.jsonl") as tapped:
            deadline = time.monotonic() + TOLD_WITHIN
            while not tapped.read():  # the tap takes a moment to begin
                assert time.monotonic() < deadline, "the tap shows nothing"
                scene.ask("client", "burst", f"http://{address}:8080/none/1", 1, 1)
            times_agree(scene, address, tapped)
            paced = Counter(tapped.counts)
            told = scene.ask("mixed", "load", address, 8080, 8081, COUNT, 0, timeout=300)
            until(tapped, paced.total() + COUNT)
            rows = rows_of(scene)
        intercept.stop()
    counted = {f"{name} {status}": number for name, row in rows.items() for status, number in row["statuses"].items()}
    assert sum(told["counts"].values()) == COUNT
    assert dict(tapped.counts - paced) == told["counts"]
    assert counted == {name: number for name, number in tapped.counts.items() if not name.startswith(WARM)}
    assert tapped.dropped == 0
    assert sum(row["request_bytes"] for row in rows.values()) > 0
    rate = COUNT / told["seconds"]
    scene.measured(f"{COUNT} requests, {rate:.0f}/s: tap, routes and the generator agree on {len(counted)} counts")
