"""`python -m bench.log_levels`: how long `interceptor log-level` takes to read 200 proxies behind an API that is far away.

Compared with the same, one proxy after the other.
"""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from bench import far
from interceptor.kube.logs import LogLine
from interceptor.mesh.loglevel import proxies
from interceptor.mesh.loglevel.model import Back, Sidecar
from interceptor.mesh.loglevel.proxies import Level
from interceptor.mesh.loglevel.record import Change
from interceptor.session.log_level import LogLevelOptions, log_level
from interceptor.session.options import Access
from tests.mesh.cluster import DATA
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
        unread = [level for level in levels if level.problem is not None]
        if unread:
            raise SystemExit(f"{len(unread)} of {len(levels)} proxies were not read: {unread[0].problem}")
        self.read += len(levels)

    async def line(self, pod: str, line: LogLine) -> None:
        raise AssertionError(line)

    def back(self, change: Change, back: Back) -> None:
        raise AssertionError(change)

    def note(self, text: str) -> None:
        print(text)


def build(pods: int, _: Path) -> tuple[far.Objects, list[str]]:
    """One workload of so many pods."""
    sidecars = [
        Sidecar(DATA, f"orders-{number}", "linkerd-proxy", f"containerd://{number}", "Linkerd", 4191, LEVEL)
        for number in range(pods)
    ]
    objects = [(WORKLOAD, DATA), *((pod_of(sidecar), DATA) for sidecar in sidecars)]
    return objects, [sys.executable, "-u", "-m", "e2e.programs.linkerd_proxy"]


def read(at_once: int, path: str) -> int:
    before, proxies.AT_ONCE = proxies.AT_ONCE, at_once
    count = Count()
    asyncio.run(log_level(LogLevelOptions("deploy/orders", access=Access(path, namespace=DATA)), count))
    proxies.AT_ONCE = before
    return count.read


def main() -> int:
    ways = {
        far.FIRST: lambda path: read(proxies.AT_ONCE, path),
        "one after the other": lambda path: read(1, path),
    }
    return far.main(__doc__, build, ways, "proxies")


if __name__ == "__main__":
    raise SystemExit(main())
