"""The container's environment for COMMAND; `intercept` and `run` ask as soon as an agent is there."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path

from interceptor.sandbox.environment import ProxyAddress, for_file, write_env_file
from interceptor.session.environment import environment_of
from interceptor.session.events import Event, Teller
from interceptor.session.options import HomeOptions
from interceptor.session.plan import Plan
from interceptor.session.pods import Pods
from interceptor.session.tunnels import Tunnels


async def container_environment(plan: Plan, pods: Pods, tunnels: Tunnels, options: HomeOptions) -> dict[str, str]:
    """The container's variables, without those that are not wanted."""
    agent: dict[str, str] | None = None
    while agent is None:
        await pods.until(lambda: bool(tunnels.live))
        agent = await tunnels.environment()
    return without(environment_of(plan, agent), options.env_exclude)


def without(environ: dict[str, str], patterns: tuple[str, ...]) -> dict[str, str]:
    """`--env-exclude`."""
    return {
        name: value for name, value in environ.items() if not any(fnmatchcase(name, pattern) for pattern in patterns)
    }


def write_file(path: Path, environ: dict[str, str], options: HomeOptions, proxy: ProxyAddress, teller: Teller) -> None:
    """`--env-file`: what COMMAND would get of the container, the way out and `--env`."""
    left_out = write_env_file(path, for_file(environ, proxy) | dict(options.env))
    teller.tell(Event("note", f"environment written to {path}"))
    if left_out:
        teller.tell(Event("note", f"names a shell can't set were left out: {', '.join(left_out)}"))
