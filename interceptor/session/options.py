"""What a person asked for, after parsing and before anything is looked at; `cli` fills it, `session` reads it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True)
class Access:
    """Which cluster, as whom: kubectl's global options, None where not typed."""

    kubeconfig: str | None = None
    context: str | None = None
    namespace: str | None = None
    as_user: str | None = None
    as_groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HomeOptions:
    """Where COMMAND lives. `local` as typed: "5432", "db.lan:5432"."""

    mode: Literal["auto", "namespace", "proxy"] = "auto"
    local: tuple[str, ...] = ()
    local_net: bool = False
    mounts: tuple[str, ...] = ()  # none, rw, PATH, PATH:LOCAL
    env: tuple[tuple[str, str], ...] = ()
    env_exclude: tuple[str, ...] = ()  # patterns for names of the container's variables


@dataclass(frozen=True, slots=True)
class InterceptOptions:
    """One `interceptor intercept`. `ports` are as typed: "8080", "http", "9000:8080", "9000:http"."""

    target: str
    ports: tuple[str, ...] = ()
    to_host: str = "127.0.0.1"
    container: str | None = None
    agent_image: str | None = None  # None: own where the container has Python, else python:3.13-slim
    command: tuple[str, ...] = ()
    env_file: Path | None = None
    hold: float = 10.0  # seconds a connection waits for the local process
    guard: bool = True  # agents restore by themselves when the client is gone
    take_over: int = 0  # 1: end a session whose client is gone, or a living one's after a question; 2: without one
    dry_run: bool = False
    metrics: int | None = None  # the port on loopback where figures are served; 0: any
    home: HomeOptions = HomeOptions()
    access: Access = Access()


@dataclass(frozen=True, slots=True)
class RunOptions:
    """One `interceptor run`."""

    target: str
    command: tuple[str, ...]
    container: str | None = None
    agent_image: str | None = None  # as for an intercept
    labels: tuple[tuple[str, str], ...] = ()  # for the pod beside the workload's
    env_file: Path | None = None
    dry_run: bool = False
    metrics: int | None = None
    home: HomeOptions = HomeOptions()
    access: Access = Access()
