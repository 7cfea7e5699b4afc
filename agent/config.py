"""What the client wrote for this agent, beside its zipapp; read once by `__main__`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NamedTuple


class Config(NamedTuple):
    """See docs/architecture.md, "The agent's files". Times are seconds; `workload` to `pods` are API paths."""

    folder: Path
    bind: str
    session: str
    holder: str
    tunnel_port: int
    health_port: int
    ports: tuple[int, ...]
    hold: float
    grace: float  # the pod's, from SIGTERM to the kill
    lost_after: float
    silent_after: float
    guard: bool
    workload: str
    lease: str
    owner: str
    pods: str
    kind: str  # of the workload
    alone: float  # seconds without a client after which this agent ends; 0: it stays
    app: dict[str, Any] | None  # the app's own command, for `in_place`
    policy: bool  # `workload` is a ServiceProfile or a route, and all there is to do is to revert it
    datagrams: tuple[int, ...] = ()  # UDP ports


def read(folder: Path) -> Config:
    """Read `config.json` in `folder`. Raises OSError, ValueError or KeyError: a session without it can't work."""
    data = json.loads((folder / "config.json").read_text())
    return Config(
        folder=folder,
        bind=os.environ.get("INTERCEPTOR_BIND", ""),
        session=data["session"],
        holder=data["holder"],
        tunnel_port=data["tunnel_port"],
        health_port=data["health_port"],
        ports=tuple(data["ports"]),
        hold=data["hold"],
        grace=data["grace"],
        lost_after=data["lost_after"],
        silent_after=data["silent_after"],
        guard=data["guard"],
        workload=data["workload"],
        lease=data["lease"],
        owner=data["owner"],
        pods=data["pods"],
        kind=data.get("kind", "Deployment"),
        alone=data.get("alone", 0.0),
        app=data.get("app"),
        policy=data.get("policy", False),
        datagrams=tuple(data.get("datagrams", ())),
    )
