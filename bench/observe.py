"""`python -m bench.observe`: what reading along costs: two intercepts side by side, one reads; prints a table.

Both get the same load, one right after the other, over and over: a ratio is the median of those of the pairs.
"""

import argparse
import json
import statistics
import time
from collections import defaultdict
from pathlib import Path

import psutil

from bench.measure import settle
from bench.place import Place, memory
from e2e import manifests
from e2e.intercept import Intercept

HERE = Path(__file__).resolve().parent
IDLE = 1000
# Figure, its goal: with observation at least so much of the figure without.
GOALS = {"requests/s, 64 connections": 0.85, "bulk from the pod, MB/s": 0.95, "bulk to the pod, MB/s": 0.95}
MOST_IDLE = 1.0  # KB that an idle connection may cost more
Found = dict[str, list[float]]


class Way:
    """One intercept, which reads along or not."""

    def __init__(self, place: Place, name: str, observe: bool) -> None:
        self._place = place
        self.found: Found = defaultdict(list)
        self.host: str = place.kubectl.json("get", f"service/{name}")["spec"]["clusterIP"]
        self.intercept: Intercept = place.intercept(name, INTERCEPTOR_OBSERVE="1" if observe else "0")
        self._process = psutil.Process(self.intercept.pid)

    def _busy(self) -> float:
        times = self._process.cpu_times()
        return times.user + times.system

    def requests(self, seconds: float) -> None:
        """Many small requests; also what each costs the client."""
        before = self._busy()
        report = self._place.lg_pod(self.host, "rr", 80, 64, seconds)
        self.found["requests/s, 64 connections"].append(report["rps"])
        # `lg` warms up for 0.3 s, which it does not count.
        self.found["client's processor time of a request, us"].append(
            (self._busy() - before) * 1e6 / (report["rps"] * (seconds + 0.3))
        )

    def bulk(self, name: str, mode: str, seconds: float) -> None:
        """One connection, as fast as it goes."""
        self.found[name].append(self._place.lg_pod(self.host, "bulk", 80, mode, 1, seconds)["MBps"])
        settle()

    def idle(self) -> None:
        """What 1,000 connections add to the client that have asked once and now say nothing."""
        before, _ = memory(self.intercept.pid)
        with self._place.lg_process(self.host, "idle", 80, IDLE) as load:
            load.wait_line(lambda line: "ready" in line.text, 60, "idle connections")
            time.sleep(0.5)
            self.found["KB of an idle connection"].append((memory(self.intercept.pid)[0] - before) / IDLE)


def second_target(place: Place) -> None:
    """A Deployment and a Service like the place's own."""
    original = place.kubectl.json("get", "deployment/target")
    (app,) = original["spec"]["template"]["spec"]["containers"]
    place.kubectl.apply(
        manifests.deployment(app, name="second"),
        manifests.service("second", 8080, app="second"),
    )
    place.kubectl.rolled_out("deployment/second")


def measure(place: Place, rounds: int, bulks: int, seconds: float) -> tuple[Found, Found]:
    """All figures, with and without."""
    second_target(place)
    with_, without = Way(place, "target", observe=True), Way(place, "second", observe=False)
    for way in (with_, without):
        way.requests(seconds)
        way.found.clear()  # that was to warm up
        way.idle()
    for number in range(max(rounds, bulks)):
        pair = (with_, without) if number % 2 else (without, with_)
        if number < rounds:
            for way in pair:
                way.requests(seconds)
        if number < bulks:
            for name, mode in (("bulk from the pod, MB/s", "up"), ("bulk to the pod, MB/s", "down")):
                for way in pair:
                    way.bulk(name, mode, seconds)
    for way in (with_, without):
        way.intercept.stop()
    return with_.found, without.found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=12, help="pairs of requests' measurements")
    parser.add_argument("--bulks", type=int, default=6, help="pairs of bulks")
    parser.add_argument("--seconds", type=float, default=1.5, help="of each measurement")
    parser.add_argument("--output", type=Path, default=HERE / "observe.json")
    options = parser.parse_args()
    with Place() as place:
        on, off = measure(place, options.rounds, options.bulks, options.seconds)
    options.output.write_text(json.dumps({"on": on, "off": off}, indent=1) + "\n")
    met = True
    print("| figure | with | without | ratio | goal | met |\n|---|---|---|---|---|---|")
    for name in on:
        with_, without = statistics.median(on[name]), statistics.median(off[name])
        if name in GOALS:
            ratio = statistics.median(one / other for one, other in zip(on[name], off[name], strict=True))
            fine = ratio >= GOALS[name]
            print(f"| {name} | {with_:,.0f} | {without:,.0f} | {ratio:.2f} | >= {GOALS[name]} | {yes(fine)} |")
        elif name.startswith("KB"):
            fine = with_ - without <= MOST_IDLE
            print(f"| {name} | {with_:.1f} | {without:.1f} | {with_ - without:+.1f} | <= +{MOST_IDLE} | {yes(fine)} |")
        else:
            fine = True
            print(f"| {name} | {with_:.1f} | {without:.1f} | {with_ - without:+.1f} | | |")
        met &= fine
    return 0 if met else 1


def yes(fine: bool) -> str:
    return "yes" if fine else "**no**"


if __name__ == "__main__":
    raise SystemExit(main())
