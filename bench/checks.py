"""`python -m bench.checks`: how long `interceptor check --proxy` takes for 200 pods behind an API that is far away.

Compared: the check as it is, the same with its requests one after the other, and the floor, which is one list of all pods.
"""

import asyncio
import shutil
import sys
from pathlib import Path

import e2e.mesh
from bench import far
from e2e.mesh.installation import Installation
from interceptor.kube import Cluster, load_access
from interceptor.kube.resources import PODS
from interceptor.mesh.check import facts
from interceptor.mesh.check.model import Row
from interceptor.session.check import CheckOptions, check
from interceptor.session.options import Access
from tests.mesh.cluster import CONTROL, DATA, objects


def build(pods: int, folder: Path) -> tuple[far.Objects, list[str]]:
    """A mesh in which all is well."""
    installed = Installation(CONTROL, DATA, "app")
    names = tuple(f"web{number // 4}-d4fff7cfd-{number:05d}" for number in range(pods))
    pair = installed.proxy_certificate(DATA)
    (folder / "tls.crt").write_text(pair.pem)
    (folder / "tls.key").write_text(pair.key)
    source = Path(e2e.mesh.__file__).parent
    shutil.copy(source / "metrics.prom", folder)
    (folder / "proxy.py").write_text((source / "proxy.py").read_text().replace("/certificate", str(folder)))
    return objects(installed, pods=names), [sys.executable, str(folder / "proxy.py")]


async def whole(at_once: int, path: str) -> int:
    before, facts.AT_ONCE = facts.AT_ONCE, at_once
    rows: list[Row] = []
    await check(CheckOptions(proxy=True, machine=False, access=Access(path, namespace=DATA)), rows.append)
    facts.AT_ONCE = before
    wrong = [row for row in rows if row.result != "success"]
    if wrong:
        raise SystemExit(f"not all is well: {wrong}")
    return len(rows)


async def floor(path: str) -> int:
    async with Cluster(load_access(path)) as cluster:
        await cluster.list(PODS, None)
    return 0


def main() -> int:
    ways = {
        far.FIRST: lambda path: asyncio.run(whole(facts.AT_ONCE, path)),
        "one after the other": lambda path: asyncio.run(whole(1, path)),
        "one list of pods": lambda path: asyncio.run(floor(path)),
    }
    return far.main(__doc__, build, ways, "checks")


if __name__ == "__main__":
    raise SystemExit(main())
