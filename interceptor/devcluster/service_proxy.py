"""Services made reachable: a TCP listener on each cluster address, and the file of names; run by `cluster`.

What kube-proxy and CoreDNS do in a real cluster. The file has the hosts format and is rewritten in one step whenever a
Service changes; pods find it through INTERCEPTOR_HOSTS. UDP ports are not served. A port below 1024 needs root (or the
sysctl net.ipv4.ip_unprivileged_port_start): an event says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import socket
from collections.abc import Iterable
from pathlib import Path

from interceptor.devcluster import resources
from interceptor.devcluster.control.loop import Controller
from interceptor.devcluster.events import Recorder
from interceptor.devcluster.objects import Object, name_of, namespace_of
from interceptor.devcluster.registry import Registry
from interceptor.devcluster.store import Change, Key

_CHUNK = 65536
_DOMAIN = "cluster.local"
_CONNECT = 5.0
_ACCEPT_PAUSE = 0.1
_log = logging.getLogger(__name__)

Listener = tuple[str, int]


class ServiceProxy(Controller):
    """One listener for each port of each Service."""

    def __init__(self, registry: Registry, hosts: Path) -> None:
        super().__init__(registry)
        self._events = Recorder(registry, "service-proxy")
        self._hosts = hosts
        self._group: asyncio.TaskGroup | None = None
        self._sockets: dict[Listener, tuple[socket.socket, asyncio.Task[None]]] = {}
        self._turn = itertools.count()

    def concerns(self, change: Change) -> Iterable[Key]:
        """Services, and the endpoints of headless ones."""
        if change.resource in (resources.SERVICES, resources.ENDPOINTS):
            yield "", ""

    def reconcile(self, key: Key) -> float | None:
        """Open and close listeners, write the names."""
        wanted: dict[Listener, tuple[Object, Object]] = {}
        for service in self.store.list(resources.SERVICES):
            address = service["spec"].get("clusterIP", "None")
            if address != "None" and service["spec"].get("selector"):
                for port in service["spec"].get("ports") or ():
                    if port["protocol"] == "TCP":
                        wanted[address, port["port"]] = (service, port)
        for listener in list(self._sockets):
            if listener not in wanted:
                self._close(listener)
        for listener, (service, port) in wanted.items():
            if listener not in self._sockets:
                self._open(listener, service, port)
        self._write_hosts()
        return None

    async def run(self) -> None:
        """Serve until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                await super().run()
            finally:
                for listener in list(self._sockets):
                    self._close(listener)

    def _open(self, listener: Listener, service: Object, port: Object) -> None:
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        raw.setblocking(False)
        try:
            raw.bind(listener)
            raw.listen(512)
        except OSError as error:
            raw.close()
            hint = "; ports below 1024 need root here" if isinstance(error, PermissionError) else ""
            self._events.say(
                service, "FailedToListen", f"{listener[0]}:{listener[1]}: {error.strerror}{hint}", kind="Warning"
            )
            return
        assert self._group is not None
        name = f"service {namespace_of(service)}/{name_of(service)}:{port['port']}"
        task = self._group.create_task(
            self._accept(raw, (namespace_of(service), name_of(service)), port["port"]), name=name
        )
        self._sockets[listener] = (raw, task)

    def _close(self, listener: Listener) -> None:
        raw, task = self._sockets.pop(listener)
        task.cancel()
        raw.close()

    async def _accept(self, raw: socket.socket, service: Key, port: int) -> None:
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            while True:
                try:
                    caller, _ = await loop.sock_accept(raw)
                except (
                    OSError
                ) as error:  # a caller that left at once, or no file descriptor left: the next may do better
                    _log.warning("accept for %s: %s", service[1], error)
                    await asyncio.sleep(_ACCEPT_PAUSE)
                    continue
                group.create_task(self._serve(caller, service, port), name=f"service call {service[1]}:{port}")

    async def _serve(self, caller: socket.socket, service: Key, port: int) -> None:
        with contextlib.closing(caller):
            for address in self._backends(service, port):
                try:
                    async with asyncio.timeout(_CONNECT):
                        reader, writer = await asyncio.open_connection(*address)
                except (OSError, TimeoutError):
                    continue
                try:
                    up = await asyncio.open_connection(sock=caller)
                except OSError:  # the caller is gone
                    writer.close()
                    return
                await relay(up, (reader, writer))
                return

    def _backends(self, service: Key, port: int) -> list[tuple[str, int]]:
        """Return the ready endpoints, starting with whose turn it is."""
        found = self.store.get(resources.SERVICES, *service)
        endpoints = self.store.get(resources.ENDPOINTS, *service)
        if found is None or endpoints is None:
            return []
        name = next((item.get("name", "") for item in found["spec"]["ports"] if item["port"] == port), "")
        backends = [
            (address["ip"], own["port"])
            for subset in endpoints.get("subsets") or ()
            for own in subset["ports"]
            if own.get("name", "") == name
            for address in subset.get("addresses") or ()
        ]
        turn = next(self._turn) % len(backends) if backends else 0
        return backends[turn:] + backends[:turn]

    def _write_hosts(self) -> None:
        lines = ["127.0.0.1 localhost"]
        for service in self.store.list(resources.SERVICES):
            name, space = name_of(service), namespace_of(service)
            names = f"{name}.{space}.svc.{_DOMAIN} {name}.{space}.svc {name}.{space} {name}"
            address = service["spec"].get("clusterIP", "None")
            if address != "None":
                lines.append(f"{address} {names}")
                continue
            for subset in (self.store.get(resources.ENDPOINTS, space, name) or {}).get("subsets") or ():
                lines += [f"{pod['ip']} {names}" for pod in subset.get("addresses") or ()]
        fresh = self._hosts.with_name(".hosts.new")
        fresh.write_text("\n".join(lines) + "\n")
        fresh.replace(self._hosts)


Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def relay(one: Pair, other: Pair) -> None:
    """Copy both ways, half-closing each as it ends, until both have."""
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_copy(one[0], other[1]), name="relay in")
            group.create_task(_copy(other[0], one[1]), name="relay out")
    except* OSError:
        for _, writer in (one, other):
            writer.transport.abort()  # a reset on one side is a reset on the other
    finally:
        for _, writer in (one, other):
            writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_CHUNK):
        writer.write(data)
        await writer.drain()
    writer.write_eof()
