"""`python -m bench.outbound`: what COMMAND gets from the cluster, by sandbox, proxy and kubectl; writes results-outbound.md.

All in one run on the cluster of KUBECONFIG, the ways interleaved. `make bench` runs it behind `bench.run`.
"""

import argparse
import asyncio
import os
import platform
import signal
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bench.measure import Samples, settle
from bench.place import Place
from bench.table import Row, at_most, limit, publish, ratio
from bench.world import Beside, Inside
from interceptor.sandbox.namespace import begin, open_namespace
from interceptor.sandbox.spec import File, Mount, MountKind, Network, Spec

HERE = Path(__file__).resolve().parent
FILE_SIZE = 100_000_000
STARTS = 10
START_MS, CACHED_MS, BEYOND_MS = 100.0, 0.2, 1.0  # limits; an answer from the cluster is the round trip and BEYOND_MS
WAYS = ("sandbox", "proxy", "kubectl")


async def start() -> tuple[float, float, float]:
    """Milliseconds: of what is done while the pod starts, until a sandbox like the pod's stands, until `true` has run."""
    files = (File("/etc/resolv.conf", "nameserver 10.96.0.10\n"), File("/etc/hosts", "127.0.0.1 localhost\n"))
    spec = Spec(
        argv=("true",),
        executable="/bin/true",
        environ={},
        hostname="bench",
        mounts=(Mount(MountKind.TMPFS, "/var/run/secrets/kubernetes.io/serviceaccount"),),
        files=files,
        network=Network(("10.244.0.5",), (("TCP", 8080),)),
    )
    began = time.perf_counter()
    async with open_namespace(spec) as space:
        cold = time.perf_counter() - began
        await space.run()
    async with begin() as first:
        await asyncio.sleep(cold)  # as a pod takes seconds
        began = time.perf_counter()
        async with open_namespace(spec, begun=first) as space:
            stands = time.perf_counter() - began
            status = await space.run()
            whole = time.perf_counter() - began
    if status:
        raise SystemExit(f"/bin/true ended with {status} in the sandbox")
    return cold * 1000, stands * 1000, whole * 1000


def starts(samples: Samples) -> None:
    """The first one reads the program from disk: it does not count."""
    for number in range(STARTS + 1):
        found = asyncio.run(start())
        if number:
            for name, value in zip(("cold ms", "stands ms", "whole ms"), found, strict=True):
                samples.add(name, value)


def one_round(place: Place, ways: tuple[Inside, Beside, int], number: int, seconds: float, samples: Samples) -> None:
    """Each figure once by each way, one way right after the other: only those are comparable."""
    inside, beside, forward = ways
    add, be = samples.add, place.backend
    add("direct p50", place.lg_pod(be, "rr", 8080, 1, seconds)["p50us"])
    add("floor p50", statistics.median(asyncio.run(place.floor.round_trips(seconds))))
    reports: dict[str, Callable[..., dict[str, float]]] = {
        "sandbox": lambda *arguments: inside.lg(be, *arguments),
        "proxy": lambda *arguments: beside.lg(be, *arguments),
        "kubectl": place.lg_here,
    }
    ports = {"sandbox": 8080, "proxy": 8080, "kubectl": forward}
    for way in WAYS:
        report, port = reports[way], ports[way]
        add(f"{way} p50", report("rr", port, 1, seconds)["p50us"])
        add(f"{way} rps", report("rr", port, 64, seconds)["rps"])
        conn = report("conn", port, 16 if way == "kubectl" else 64, seconds)
        add(f"{way} conn", conn["cps"])
        add(f"{way} conn count", conn.get("n", 0.0))
        add(f"{way} conn failed", conn["failed"])
        settle()
    for direction, mode in (("from_pod", "down"), ("to_pod", "up")):
        add(f"floor {direction}", asyncio.run(place.floor.bulk(direction, 1, seconds)))
        settle()
        for way in WAYS:
            add(f"{way} {direction}", reports[way]("bulk", ports[way], mode, 1, seconds)["MBps"])
            settle()
    checked = inside.lg(be, "bulk", 8080, "vdown", 1, seconds)
    add("corrupt", checked["corrupt"])
    settle()
    name = f"target.{place.namespace}.svc.cluster.local"
    add("cached us", inside.names(name, seconds / 2, cached=True))
    add("asked us", inside.names(name, seconds / 2, cached=False))
    add("asked in pod us", inside.names_in_pod(name, seconds / 2))
    path = f"/data/{number}"
    place.kubectl("exec", inside.pod, "--", "sh", "-c", f"head -c {FILE_SIZE} /dev/urandom > {path}; sync")
    settle()
    add("file", inside.read(path, FILE_SIZE))
    settle()


def rows(s: Samples) -> list[Row]:
    """The table; the goals are issue 5's."""
    floor, kubectl = s["floor p50"], s["kubectl rps"]
    by_proxy = f"; proxy {s['proxy p50']:,.0f} us, kubectl {s['kubectl p50']:,.0f} us, pod {s['direct p50']:,.0f} us"
    table = [
        at_most("p50, one connection", s["sandbox p50"], floor, f"raw WebSocket{by_proxy}", 1.6, " us"),
        ratio(
            "requests/s, 64 connections", s["sandbox rps"], kubectl, f"kubectl; proxy {s['proxy rps']:,.0f}/s", 4, "/s"
        ),
        ratio(
            "new connections/s", s["sandbox conn"], s["kubectl conn"], f"kubectl; proxy {s['proxy conn']:,.0f}/s", 8, "/s"
        ),
        Row(f"new connections failed, of {s.total('sandbox conn count'):.0f}", f"{s.total('sandbox conn failed'):.0f}",
            f"{s.total('kubectl conn failed'):.0f} of {s.total('kubectl conn count'):.0f} (kubectl)", "", "0",
            s.total("sandbox conn failed") == 0),
    ]  # fmt: skip
    for direction, words in (("from_pod", "from the pod"), ("to_pod", "to the pod")):
        others = f"proxy {s[f'proxy {direction}']:,.0f}, kubectl {s[f'kubectl {direction}']:,.0f} MB/s"
        one = f"raw WebSocket; {others}"
        table.append(
            ratio(f"bulk {words}, 1 stream", s[f"sandbox {direction}"], s[f"floor {direction}"], one, 0.7, " MB/s")
        )
    table.append(Row("bulk contents", f"{s.total('corrupt'):.0f} wrong", "", "", "0", s.total("corrupt") == 0))
    most = floor / 1000 + BEYOND_MS
    asked = s["asked us"] / 1000
    table += [
        limit("DNS answer from cache", s["cached us"] / 1000, CACHED_MS, " ms"),
        Row("DNS answer from the cluster", f"{asked:.2f} ms",
            f"{floor / 1000:.2f} ms (raw WebSocket; {s['asked in pod us'] / 1000:.2f} ms in the pod)",
            f"+{asked - floor / 1000:.2f} ms", f"+{BEYOND_MS:g} ms", asked <= most),
        Row("sandbox stands, once the pod is there", f"{s['stands ms']:.0f} ms",
            f"{s['cold ms']:.0f} ms with nothing begun before; {s['whole ms']:.0f} ms until `true` has run", "",
            f"<= {START_MS:.0f} ms", s["stands ms"] <= START_MS),
        ratio(f"reading a file of {FILE_SIZE / 1e6:.0f} MB", s["file"], s["sandbox from_pod"], "bulk from the pod",
              0.7, " MB/s"),
    ]  # fmt: skip
    return table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--output", type=Path, default=HERE / "results-outbound.md")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # whoever stops us: nothing is left
    samples = Samples()
    starts(samples)
    with Place() as place:
        place.add_volume()
        with Inside(place) as inside, Beside(place) as beside:
            forward = place.forward()
            for number in range(options.rounds):
                place.say(f"round {number + 1} of {options.rounds}")
                one_round(place, (inside, beside, forward), number, options.seconds, samples)
        version = place.kubectl.json("version")["serverVersion"]["gitVersion"]
    about = (
        f"{os.cpu_count()} cores shared by COMMAND, client, API server, kubelet, agent and server; Kubernetes {version}, "
        f"Python {platform.python_version()}, Linux {platform.release()}. Medians of {options.rounds} rounds of "
        f"{options.seconds:g} s, ways interleaved; {STARTS} starts. Outbound: COMMAND under `interceptor run` calls a pod."
    )
    return publish(rows(samples), about, samples, options.output, "Speed, outbound")


if __name__ == "__main__":
    raise SystemExit(main())
