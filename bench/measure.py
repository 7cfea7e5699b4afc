"""The figures of one run, several rounds with the ways interleaved; `run` calls `all_figures` and prints the table."""

import asyncio
import statistics
import time
from collections import defaultdict
from dataclasses import dataclass, field

import psutil

from bench.place import Place, memory
from e2e.intercept import Intercept

IDLE = 1000
HELD = 10_000
CONNECTIONS = 10_000
QUIET = 15.0  # per cent of all cores
SETTLE_TIME = 5.0


@dataclass
class Samples:
    """Every value that was measured, by name; a figure is the median of its name."""

    values: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def add(self, name: str, value: float) -> None:
        self.values[name].append(value)

    def __getitem__(self, name: str) -> float:
        return statistics.median(self.values[name]) if self.values.get(name) else float("nan")

    def total(self, name: str) -> float:
        return sum(self.values.get(name, ()))


def one_round(place: Place, forward: int, seconds: float, samples: Samples) -> None:
    """Each figure once by each way, one way right after the other: only those are comparable."""
    add = samples.add
    here, pod, service = place.lg_here, place.lg_pod, place.service
    add("direct p50", pod(place.backend, "rr", 8080, 1, seconds)["p50us"])
    add("floor p50", statistics.median(asyncio.run(place.floor.round_trips(seconds))))
    add("kubectl p50", here("rr", forward, 1, seconds)["p50us"])
    add("ours p50", pod(service, "rr", 80, 1, seconds)["p50us"])
    add("kubectl rps", here("rr", forward, 64, seconds)["rps"])
    add("ours rps", pod(service, "rr", 80, 64, seconds)["rps"])
    for name, report in (
        ("kubectl", here("conn", forward, 16, seconds)),
        ("ours", pod(service, "conn", 80, 64, seconds)),
    ):
        add(f"{name} conn", report["cps"])
        add(f"{name} conn count", report.get("n", 0.0))
        add(f"{name} conn failed", report["failed"])
    for direction, mode in (("from_pod", "up"), ("to_pod", "down")):
        for streams in (1, 8):
            add(f"floor {direction} {streams}", asyncio.run(place.floor.bulk(direction, streams, seconds)))
            settle()
            # The floor's rate is of bytes nobody looks at, so ours is too; verifying them costs a third core.
            add(f"ours {direction} {streams}", pod(service, "bulk", 80, mode, streams, seconds)["MBps"])
            settle()
            report = pod(service, "bulk", 80, f"v{mode}", streams, seconds)
            add(f"ours {direction} {streams} verified", report["MBps"])
            add("corrupt", report["corrupt"])
            settle()
    beside_others(place, seconds, samples)


def settle() -> None:
    """Wait until the machine is quiet: the runtime works on for seconds on what a bulk that was cut off left in it."""
    until = time.monotonic() + SETTLE_TIME
    while psutil.cpu_percent(0.2) > QUIET and time.monotonic() < until:
        continue


def beside_others(place: Place, seconds: float, samples: Samples) -> None:
    """A small request's p50 while another connection is read slowly, or is full."""
    add, pod, service = samples.add, place.lg_pod, place.service
    add("ours alone", pod(service, "rr", 80, 1, seconds)["p50us"])
    with place.lg_process(service, "slow", 80, 2_000_000, seconds + 3):
        time.sleep(0.7)  # the slow reader's buffers are full by then
        add("ours beside slow", pod(service, "rr", 80, 1, seconds)["p50us"])
    for way in ("down", "up"):
        with place.lg_process(service, "bulk", 80, way, 1, seconds + 3):
            time.sleep(0.7)
            add(f"ours beside {way}", pod(service, "rr", 80, 1, seconds)["p50us"])
        direction = "to_pod" if way == "down" else "from_pod"
        add(f"floor beside {way}", statistics.median(asyncio.run(place.floor.round_trips_beside(direction, seconds))))


def connections(place: Place, samples: Samples) -> None:
    """Go on until the promised number of new connections was made."""
    while samples.total("ours conn count") < CONNECTIONS:
        report = place.lg_pod(place.service, "conn", 80, 64, 5)
        samples.add("ours conn count", report.get("n", 0.0))
        samples.add("ours conn failed", report["failed"])
        if not report.get("n"):
            break


def idle(place: Place, intercept: Intercept, samples: Samples) -> None:
    """What idle connections cost at both ends, and that many can be held."""
    for count in (IDLE, HELD):
        client, agent = memory(intercept.pid)[0], place.agent_memory()[0]
        with place.lg_process(place.service, "idle", 80, count) as load:
            load.wait_line(lambda line: line.text == "ready", 120, f"{count} idle connections")
            samples.add(f"client KB {count}", (memory(intercept.pid)[0] - client) / count)
            samples.add(f"agent KB {count}", (place.agent_memory()[0] - agent) / count)
            samples.add("held", count)
    # Once so many were there, the interpreter keeps their memory for the next ones.
    samples.add("client MB held", memory(intercept.pid)[1] / 1024)
    samples.add("agent MB held", place.agent_memory()[1] / 1024)


def soak(place: Place, intercept: Intercept, seconds: float, samples: Samples) -> None:
    """Everything at once for minutes; the sizes early and late."""
    began = time.monotonic()
    sizes: list[tuple[float, float]] = []
    while time.monotonic() < began + seconds:
        for arguments in (
            ("rr", 80, 64, 3),
            ("conn", 80, 32, 3),
            ("bulk", 80, "vdown", 4, 3),
            ("bulk", 80, "vup", 4, 3),
        ):
            report = place.lg_pod(place.service, *arguments)
            samples.add("corrupt", report["corrupt"])
        sizes.append((memory(intercept.pid)[1] / 1024, place.agent_memory()[1] / 1024))
    quarter = max(1, len(sizes) // 4)
    for number, end in enumerate(("client", "agent")):
        column = [size[number] for size in sizes]
        samples.add(f"{end} MB", max(column))
        samples.add(
            f"{end} growth",
            statistics.median(column[-quarter:]) - statistics.median(column[quarter : 2 * quarter] or column[:1]),
        )


def all_figures(place: Place, rounds: int, seconds: float, soak_seconds: float) -> Samples:
    """One whole run."""
    samples = Samples()
    for number in range(rounds):
        rollout = place.rollout()
        trial = place.intercept()
        ready = trial.wait_for("ready").at - trial.started
        samples.add("rollout s", rollout)
        samples.add("ready s", ready)
        place.say(f"round {number + 1}: rollout {rollout:.1f} s, ready {ready:.1f} s")
        if number < rounds - 1:
            trial.stop()
            place.kubectl.rolled_out("deployment/target")
    forward = place.forward()
    client, agent = memory(trial.pid), place.agent_memory()
    samples.add("client start MB", client[1] / 1024)
    samples.add("agent start MB", agent[1] / 1024)
    for number in range(rounds):
        place.say(f"round {number + 1} of {rounds}")
        one_round(place, forward, seconds, samples)
    connections(place, samples)
    place.say("idle connections")
    idle(place, trial, samples)
    trial.stop()
    place.kubectl.rolled_out("deployment/target")
    trial = place.intercept()
    place.say(f"soak, {soak_seconds:g} s")
    soak(place, trial, soak_seconds, samples)
    trial.stop()
    return samples
