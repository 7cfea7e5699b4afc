"""`python -m bench.run`: measures on the cluster of KUBECONFIG (or one it starts), prints the table, writes results.md."""

import argparse
import os
import platform
from pathlib import Path

from bench.measure import all_figures
from bench.place import Place
from bench.table import publish, rows

HERE = Path(__file__).resolve().parent


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--soak", type=float, default=300.0, help="seconds under everything at once")
    parser.add_argument("--output", type=Path, default=HERE / "results.md")
    options = parser.parse_args()
    with Place() as place:
        samples = all_figures(place, options.rounds, options.seconds, options.soak)
        version = place.kubectl.json("version")["serverVersion"]["gitVersion"]
    about = (
        f"{os.cpu_count()} cores shared by callers, API server, kubelet, agent and client; Kubernetes {version}, "
        f"Python {platform.python_version()}, Linux {platform.release()}. Medians of {options.rounds} rounds of "
        f"{options.seconds:g} s, ways interleaved; soak {options.soak:g} s. Inbound: a pod calls a Service, the local "
        "process answers."
    )
    return publish(rows(samples), about, samples, options.output)


if __name__ == "__main__":
    raise SystemExit(main())
