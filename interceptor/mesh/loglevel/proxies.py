"""All proxies of a workload at once: read, set, put back, so many at a time; `session.log_level` calls it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from interceptor.errors import InterceptorError, UsageError
from interceptor.kube import ApiError, Cluster, NotFound, Unreachable
from interceptor.kube.resources import PODS
from interceptor.mesh.loglevel.envoy import EnvoyAdmin
from interceptor.mesh.loglevel.linkerd import LinkerdAdmin
from interceptor.mesh.loglevel.model import Admin, Back, LevelRefused, Sidecar, put_back, running, sidecar_of
from interceptor.mesh.loglevel.record import Change
from interceptor.mesh.loglevel.syntax import Wanted
from interceptor.mesh.proxy_http import ProxyUnreachable

AT_ONCE = 12  # port-forwards through one API server

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass
class Level:
    """A proxy's level: what it is, and after a change what it was. `problem` says what failed."""

    sidecar: Sidecar
    admin: Admin
    before: str = ""
    now: str | None = None
    text: str = ""  # what is to be set
    problem: InterceptorError | None = None


def admin_of(cluster: Cluster, sidecar: Sidecar) -> Admin:
    """Who talks to this proxy."""
    return (LinkerdAdmin if sidecar.mesh == "Linkerd" else EnvoyAdmin)(cluster, sidecar)


async def read(cluster: Cluster, sidecars: Iterable[Sidecar]) -> list[Level]:
    """The level of each; those that don't answer say why."""

    async def one(sidecar: Sidecar) -> Level:
        level = Level(sidecar, admin_of(cluster, sidecar))
        try:
            level.before = await level.admin.read()
        except (ProxyUnreachable, LevelRefused, NotFound) as error:
            level.problem = explained(error, sidecar)
        return level

    return await _each(list(sidecars), one, "read the level of")


async def plan(levels: Sequence[Level], wanted: Wanted) -> None:
    """Say of each what to set. Raises UsageError if one can't be told so: then none is changed."""

    async def one(level: Level) -> None:
        try:
            level.text = await level.admin.text_for(wanted)
        except (ProxyUnreachable, LevelRefused, NotFound) as error:
            level.problem = explained(error, level.sidecar)

    await _each([level for level in levels if level.problem is None], one, "plan the level of")


async def change(levels: Sequence[Level], before: Callable[[Level], None], after: Callable[[Level], None]) -> None:
    """Set what was planned; `before` hears of each just before it happens, `after` when it has."""

    async def one(level: Level) -> None:
        before(level)
        try:
            level.now = await level.admin.set(level.text)
        except (ProxyUnreachable, LevelRefused, NotFound) as error:
            level.problem = explained(error, level.sidecar)
        else:
            after(level)

    await _each([level for level in levels if level.problem is None], one, "set the level of")


async def undo(
    cluster: Cluster, changes: Iterable[Change], done: Callable[[Change, Back], None]
) -> list[InterceptorError]:
    """Put levels back; `done` hears of each. What could not be put back is returned, and the others are all the same."""

    async def one(given: Change) -> InterceptorError | None:
        admin = admin_of(cluster, given.sidecar)
        try:
            came = await put_back(admin, given.before, given.ours)
        except NotFound:
            came = Back("gone")  # a proxy that starts anew has the level it is started with
        except ProxyUnreachable as error:
            if await _runs(cluster, given.sidecar):
                return explained(error, given.sidecar)
            came = Back("gone")
        except (LevelRefused, Unreachable, ApiError) as error:
            return error
        done(given, came)
        return None

    problems = await _each(list(changes), one, "put back the level of")
    return [problem for problem in problems if problem is not None]


async def _runs(cluster: Cluster, sidecar: Sidecar) -> bool:
    """Whether it is still the proxy whose level was changed. Where that can't be told, it is."""
    try:
        listing = await cluster.list(PODS, sidecar.namespace, field_selector=f"metadata.name={sidecar.pod}")
    except (ApiError, Unreachable):
        return True
    for pod in listing.items:
        found = sidecar_of(pod)
        if found is not None and found.key == sidecar.key and running(pod, found):
            return True
    return False


def explained(error: InterceptorError, sidecar: Sidecar) -> InterceptorError:
    """An error of one proxy, with what to look at next."""
    if isinstance(error, ProxyUnreachable) and not error.hint:
        hint = f"kubectl logs {sidecar.pod} -c {sidecar.container} -n {sidecar.namespace}; its admin port is {sidecar.port}"
        return ProxyUnreachable(error.message, hint=f"{hint}, another is named with --admin-port")
    return error


async def _each(items: Sequence[Item], do: Callable[[Item], Awaitable[Result]], what: str) -> list[Result]:
    """Do it for each, AT_ONCE at a time; what one raises ends the others, and is raised."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def gated(item: Item) -> Result:
        async with gate:
            return await do(item)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(gated(item), name=f"{what} proxy {index}") for index, item in enumerate(items)]
    except ExceptionGroup as failed:
        told = [error for error in failed.exceptions if isinstance(error, InterceptorError)]
        if len(told) != len(failed.exceptions):
            raise
        raise min(told, key=lambda error: not isinstance(error, UsageError)) from None
    return [task.result() for task in tasks]


def with_earlier(levels: Iterable[Level], known: Mapping[tuple[str, str, str], str]) -> None:
    """Of a proxy that another run of this machine has changed, what counts is its level before that."""
    for level in levels:
        level.before = known.get((level.sidecar.namespace, *level.sidecar.key), level.before)
