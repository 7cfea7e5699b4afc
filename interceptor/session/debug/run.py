"""One `interceptor debug`, readable from top to bottom: look, enter the pods, do the errand, leave; `cli.debug` calls."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from interceptor.kube import Cluster
from interceptor.session.access import open_cluster
from interceptor.session.debug.capture import capture
from interceptor.session.debug.connections import Connections, connections
from interceptor.session.debug.container import start
from interceptor.session.debug.copying import copying
from interceptor.session.debug.dns import Resolution, check_name, resolve
from interceptor.session.debug.injecting import injecting
from interceptor.session.debug.options import DebugOptions
from interceptor.session.debug.place import Place, held
from interceptor.session.debug.plan import DebugPlan, look
from interceptor.session.debug.terminal import terminal
from interceptor.session.events import Event, Teller

Show = Callable[[Connections | Resolution], None]


async def debug(options: DebugOptions, teller: Teller, show: Show) -> int:
    """Do the errand; its exit status. `show` gets what `--connections` and `--dns` found.

    Raises InterceptorError for everything a person can mend.
    """
    if options.errand == "dns":
        check_name(options.name)
    async with open_cluster(options.access) as cluster:
        with teller.busy(f"looking at {options.target}"):
            planned = await look(cluster, options)
        for note in planned.notes:
            teller.tell(Event("note", note))
        async with _places(cluster, planned, options, teller) as places:
            return await _errand(places, options, teller, show)


async def _errand(places: list[Place], options: DebugOptions, teller: Teller, show: Show) -> int:
    match options.errand:
        case "terminal":
            with teller.shared():
                return await terminal(places[0], options.command)
        case "capture":
            return await capture(places, options.capture, options.filter, teller)
        case "connections":
            with teller.busy("reading the sockets"):
                found = await connections(places)
            show(found)
            return 0
        case "dns":
            with teller.busy(f"resolving {options.name}"):
                resolution = await resolve(places[0], options.name)
            show(resolution)
            return 0 if resolution.addresses else 1


@asynccontextmanager
async def _places(
    cluster: Cluster, planned: DebugPlan, options: DebugOptions, teller: Teller
) -> AsyncIterator[list[Place]]:
    """A debug container in each of the pods."""
    if options.way == "copy":
        async with copying(cluster, planned, options, teller) as place:
            yield [place]
    elif options.way == "inject":
        async with injecting(cluster, planned, options, teller) as places:
            yield places
    else:
        async with _ephemeral(cluster, planned, options, teller) as places:
            yield places


@asynccontextmanager
async def _ephemeral(
    cluster: Cluster, planned: DebugPlan, options: DebugOptions, teller: Teller
) -> AsyncIterator[list[Place]]:
    began = time.monotonic()
    with teller.busy(f"starting {options.chosen_image} in {', '.join(planned.names)}"):
        async with asyncio.TaskGroup() as group:
            started = [
                group.create_task(start(cluster, planned.namespace, pod, options), name=f"start in {name}")
                for pod, name in zip(planned.pods, planned.names, strict=True)
            ]
    places = [task.result() for task in started]
    async with AsyncExitStack() as stack:
        for place in places:
            await stack.enter_async_context(held(place, alone=not options.every_pod))
        names = {place.pod: place.container for place in places}
        where = ", ".join(f"{container} in pod {pod}" for pod, container in names.items())
        text = f"{where}; it ends with this command, but its entry stays in the pod's spec as long as the pod"
        teller.tell(Event("connected", text, time.monotonic() - began, {"pods": names}))
        yield places
