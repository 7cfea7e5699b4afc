"""Reads along in the pods of a workload that is not intercepted: `tap --attach`. `tap` follows what this yields.

A container beside the app (an ephemeral one, so nothing restarts) copies the packets of the app's ports to us, and ends when
we do; nobody's bytes pass through it. Here they become connections again (`mesh.traffic.packets`), and the same Hub as in an
intercept makes records of them: one a pod, whose time is that pod's. Behind a mesh's proxy only the loopback is read, where
the proxy passes requests on in the clear.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from interceptor.errors import InterceptorError
from interceptor.kube import Cluster, Forbidden
from interceptor.kube.resources import PODS, SERVICES
from interceptor.mesh.traffic.record import Record
from interceptor.session.debug.container import add, refused, wait_running
from interceptor.session.debug.options import DebugOptions
from interceptor.session.debug.place import Place, held
from interceptor.session.debug.plan import look
from interceptor.session.events import Event, Teller
from interceptor.session.plan import choose_agent
from interceptor.session.reading import Attached, Reading, Records, read_along
from interceptor.workload import target
from interceptor.workload.debugger import debug_container, fitted, new_name
from interceptor.workload.inspect import inspect
from interceptor.workload.kinds import ref_of
from interceptor.workload.ports import PortMap, choose_ports

Object = dict[str, Any]

_PROXIES = frozenset({"linkerd-proxy", "istio-proxy"})


async def attach(cluster: Cluster, wanted: Attached, teller: Teller) -> AsyncGenerator[Record, None]:
    """Records of all pods' requests as they end, until cancelled or until the last pod is gone."""
    with teller.busy(f"looking at {wanted.target}"):
        ports, readings = await _look(cluster, wanted)
    async with _entered(cluster, readings, wanted, teller):
        records = Records()
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(
                    read_along(reading, ports, wanted, records, teller), name=f"read along in {reading.place.pod}"
                )
                for reading in readings
            ]
            over = group.create_task(_until_over(tasks, records), name="end of all pods")
            try:
                for reading in readings:
                    await reading.ready.wait()
                _raise_if_all_failed(readings)
                _tell_begin([reading for reading in readings if reading.error is None], ports, teller)
                while (record := await records.queue.get()) is not None:
                    try:
                        yield record
                    except GeneratorExit:  # whoever follows has seen enough, which is no error of the group's
                        return
                _raise_if_all_failed(readings)
            finally:
                for task in (*tasks, over):
                    task.cancel()


async def _look(cluster: Cluster, wanted: Attached) -> tuple[tuple[int, ...], list[Reading]]:
    """The pods, the ports, and a Python to read with; raises what stands in the way, before anything is changed."""
    namespace = cluster.namespace
    planned = await look(cluster, DebugOptions(wanted.target, errand="capture"))
    workload = await target.resolve(cluster, namespace, wanted.target)
    container = target.choose_container(workload, None)
    services = (await cluster.list(SERVICES, namespace)).items
    ports = ports_to_read(choose_ports((), workload, container, services), container)
    facts = await inspect(cluster, ref_of(workload, namespace), workload, container)
    chosen, python = choose_agent(wanted.image, facts)
    readings = []
    for pod in planned.pods:
        names = {one["name"]: one for one in [*pod["spec"]["containers"], *(pod["spec"].get("initContainers") or [])]}
        place = Place(cluster, namespace, pod["metadata"]["name"], new_name(), chosen or names[container]["image"])
        own = tuple(address["ip"] for address in (pod.get("status") or {}).get("podIPs") or ())
        readings.append(Reading(place, not _PROXIES.isdisjoint(names), own, python))
    return ports, readings


def ports_to_read(ports: Sequence[PortMap], container: str) -> tuple[int, ...]:
    """Those of TCP. Raises InterceptorError where there is none."""
    found = tuple(port.pod for port in ports if port.protocol == "TCP")
    if not found:
        raise InterceptorError(f"container {container} has only UDP ports, which have no requests to be seen")
    return found


@asynccontextmanager
async def _entered(cluster: Cluster, readings: list[Reading], wanted: Attached, teller: Teller) -> AsyncIterator[None]:
    """With a container in each pod, which ends when this does."""
    pods = ", ".join(reading.place.pod for reading in readings)
    began = time.monotonic()
    with teller.busy(f"starting {readings[0].place.image} in {pods}"):
        async with asyncio.TaskGroup() as group:
            for reading in readings:
                group.create_task(_start(cluster, reading.place, wanted.target), name=f"start in {reading.place.pod}")
    async with AsyncExitStack() as stack:
        for reading in readings:
            await stack.enter_async_context(held(reading.place, alone=False))
        text = f"a container in pod {pods}; it ends with this command, its entry stays in the pod's spec"
        names = {reading.place.pod: reading.place.container for reading in readings}
        teller.tell(Event("connected", text, time.monotonic() - began, {"pods": names}))
        yield


async def _start(cluster: Cluster, place: Place, wanted: str) -> None:
    pod = await cluster.get(PODS, place.namespace, place.pod)
    context = fitted("netadmin", pod) | {
        "runAsUser": 0,
        "runAsNonRoot": False,
    }  # of any other user capabilities are void
    try:
        await add(cluster, place.namespace, place.pod, debug_container(place.container, place.image, context))
    except Forbidden as error:
        told = refused(error, pod, place.container, DebugOptions(place.pod, errand="capture"))
        if told is error:
            raise
        hint = f"an intercept needs no capability and sees every request: interceptor intercept {wanted} -n {place.namespace}"
        raise InterceptorError(told.message.replace("the profile netadmin", "to read along"), hint=hint) from error
    await wait_running(cluster, place.namespace, place.pod, place.container, place.image)


def _raise_if_all_failed(readings: list[Reading]) -> None:
    errors = [reading.error for reading in readings if reading.error is not None]
    if len(errors) == len(readings):
        raise errors[0]


async def _until_over(tasks: list[asyncio.Task[None]], records: Records) -> None:
    await asyncio.wait(tasks)
    await records.queue.put(None)


def _tell_begin(readings: list[Reading], ports: tuple[int, ...], teller: Teller) -> None:
    words = ", ".join(map(str, ports))
    text = f"reading along at port {words} of {len(readings)} pod{'s' if len(readings) > 1 else ''}; Ctrl-C ends it"
    if any(reading.loopback for reading in readings):
        text += "; behind the mesh's proxy, where requests are in the clear"
    teller.tell(
        Event("ready", text, details={"pods": [reading.place.pod for reading in readings], "ports": list(ports)})
    )
