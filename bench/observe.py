"""`python -m bench.observe`: what reading along costs: the same load with and without, in turn; prints a table."""

import argparse
import json
import statistics
import time
from pathlib import Path

from bench.measure import settle
from bench.place import Place, memory

HERE = Path(__file__).resolve().parent
IDLE = 1000
# Figure, its goal: with observation at least so much of the figure without.
GOALS = {"requests/s, 64 connections": 0.85, "bulk from the pod": 0.95, "bulk to the pod": 0.95}


def one_round(place: Place, observe: bool, seconds: float, found: dict[str, list[float]]) -> None:
    """Every figure once, in an intercept of its own."""
    ours = place.intercept(INTERCEPTOR_OBSERVE="1" if observe else "0")
    try:
        place.lg_pod(place.service, "rr", 80, 64, 0.5)  # warm
        report = place.lg_pod(place.service, "rr", 80, 64, seconds)
        found.setdefault("requests/s, 64 connections", []).append(report["rps"])
        for name, mode in (("bulk from the pod", "up"), ("bulk to the pod", "down")):
            found.setdefault(name, []).append(place.lg_pod(place.service, "bulk", 80, mode, 1, seconds)["MBps"])
            settle()
        found.setdefault("KB per idle connection", []).append(idle(place, ours.pid))
    finally:
        ours.stop()
        place.kubectl.rolled_out("deployment/target")


def idle(place: Place, pid: int) -> float:
    """What 1,000 connections add to the client that have asked once and now say nothing."""
    before, _ = memory(pid)
    with place.lg_process(place.service, "idle", 80, IDLE) as load:
        load.wait_line(lambda line: "ready" in line.text, 60, "idle connections")
        time.sleep(0.5)
        return (memory(pid)[0] - before) / IDLE


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--output", type=Path, default=HERE / "observe.json")
    options = parser.parse_args()
    found: dict[bool, dict[str, list[float]]] = {True: {}, False: {}}
    with Place() as place:
        for number in range(options.rounds):
            for observe in (False, True) if number % 2 else (True, False):
                one_round(place, observe, options.seconds, found[observe])
    options.output.write_text(json.dumps({"on": found[True], "off": found[False]}, indent=1) + "\n")
    met = True
    print("| figure | with | without | ratio | goal | met |\n|---|---|---|---|---|---|")
    for name in found[True]:
        with_, without = statistics.median(found[True][name]), statistics.median(found[False][name])
        if name in GOALS:
            fine = with_ >= GOALS[name] * without
            print(f"| {name} | {with_:,.0f} | {without:,.0f} | {with_ / without:.2f} | >= {GOALS[name]} | {fine} |")
        else:
            fine = with_ - without <= 1.0
            print(f"| {name} | {with_:.1f} | {without:.1f} | {with_ - without:+.1f} | <= +1.0 | {fine} |")
        met &= fine
    return 0 if met else 1


if __name__ == "__main__":
    raise SystemExit(main())
