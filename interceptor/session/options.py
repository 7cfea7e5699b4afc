"""What a person asked for, after parsing and before anything is looked at; `cli` fills it, `session` reads it."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Access:
    """Which cluster, as whom: kubectl's global options, None where not typed."""

    kubeconfig: str | None = None
    context: str | None = None
    namespace: str | None = None
    as_user: str | None = None
    as_groups: tuple[str, ...] = ()


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
    dry_run: bool = False
    access: Access = Access()
