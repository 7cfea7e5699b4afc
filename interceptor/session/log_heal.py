"""Puts back the log levels that a dead run left raised: for its guard, for the next `log-level`, for `restore`."""

from __future__ import annotations

from pathlib import Path

from interceptor.kube import Cluster
from interceptor.mesh.loglevel import proxies, record
from interceptor.mesh.loglevel.model import Back
from interceptor.mesh.loglevel.record import Change, Left


async def heal(cluster: Cluster) -> list[str]:
    """Everything on this cluster that no living run stands for; returns what to tell a person."""
    told: list[str] = []
    for path in record.all_left():
        with record.claim(path) as left:
            if left is not None and left.server == cluster.server:
                told += await heal_one(cluster, path, left)
    return told


async def heal_one(cluster: Cluster, path: Path, left: Left) -> list[str]:
    """What one dead run left, whose file is claimed. The file stays as long as something in it does."""
    done: list[str] = []

    def back(change: Change, came: Back) -> None:
        if came.outcome == "back":
            done.append(change.sidecar.pod)

    problems = await proxies.undo(cluster, list(left.changes.values()), back)
    if not problems:
        record.discard(path)
    told = [f"a former run left a log level raised and it is not back yet: {problem}" for problem in problems]
    if done:
        names = ", ".join(sorted(done)[:5]) + (f" and {len(done) - 5} more" if len(done) > 5 else "")
        told.append(f"a former run that was killed left log levels of {left.workload} raised; put back now: {names}")
    return told
