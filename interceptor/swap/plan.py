"""What a swap is to do; `workload` fills it once everything has been looked at, `template` carries it out."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SwapPlan:
    """The agent that takes a container's place. `image` is None where the agent runs in the container's own.

    `holder` and `since` tell the next person who intercepted the workload and when, as text.
    """

    session: str
    container: str
    command: tuple[str, ...]
    holder: str
    since: str
    health_port: int
    secret: str
    image: str | None = None
    mount_path: str = "/var/run/interceptor"
    run_as_user: int | None = 65532  # where the pod must not run as root and names no user itself
