"""`python -m interceptor.devcluster --folder F`: a dev cluster until SIGTERM or Ctrl-C.

Prints its kubeconfig once it is ready.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import tempfile
from pathlib import Path

from interceptor.devcluster.cluster import DevCluster


async def run(folder: Path) -> None:
    """Run a dev cluster in `folder` until a signal comes."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)
    async with DevCluster(folder) as cluster:
        sys.stdout.write(f"{cluster.kubeconfig}\n")
        sys.stdout.flush()
        await ended.wait()


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(
        prog="python -m interceptor.devcluster", description="A small embedded Kubernetes."
    )
    parser.add_argument("--folder", type=Path, help="where keys, logs and volumes go (default: a temporary folder)")
    folder = parser.parse_args().folder
    if folder is not None:
        asyncio.run(run(folder))
        return
    with tempfile.TemporaryDirectory(prefix="interceptor-dev-") as temporary:
        asyncio.run(run(Path(temporary)))


if __name__ == "__main__":
    main()
