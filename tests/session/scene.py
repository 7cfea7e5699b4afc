"""A Deployment in a namespace of its own, a developer's process, callers, and one intercept between them."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from interceptor.cli.running import first_cause
from interceptor.errors import InterceptorError
from interceptor.kube import Cluster
from interceptor.session.access import open_cluster
from interceptor.session.events import Event
from interceptor.session.intercept import intercept
from interceptor.session.options import Access, InterceptOptions
from tests.contract.api import IMAGE, JSON_PATCH, MERGE, Api, Object

APPS, BATCH, LEASES, RBAC = "apps/v1", "batch/v1", "coordination.k8s.io/v1", "rbac.authorization.k8s.io/v1"
LEFT_BY_A_SESSION = (("jobs", BATCH), ("leases", LEASES), ("secrets", ""), ("serviceaccounts", ""),
                     ("roles", RBAC), ("rolebindings", RBAC))  # fmt: skip
# Answers every line with its own word; on the ports in PORTS.
APP = """
import os, signal, socket, sys, threading
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
def serve(port):
    server = socket.create_server((os.environ.get("INTERCEPTOR_BIND", ""), port), backlog=64)
    while True:
        sock, _ = server.accept()
        with sock:
            if sock.recv(100):
                sock.sendall(b"cluster %d\\n" % port)
ports = [int(port) for port in os.environ.get("PORTS", "8080").split()]
for port in ports[1:]:
    threading.Thread(target=serve, args=(port,), daemon=True).start()
serve(ports[0])
"""


class Recorder:
    """A Teller that keeps what it is told, and lets tests wait for it."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.busy_with: list[str] = []
        self._told = asyncio.Event()

    def tell(self, event: Event) -> None:
        self.events.append(event)
        self._told.set()
        self._told = asyncio.Event()

    @contextmanager
    def busy(self, text: str) -> Iterator[None]:
        self.busy_with.append(text)
        yield

    def shared(self) -> AbstractContextManager[None]:
        return nullcontext()

    def names(self, *without: str) -> list[str]:
        """What happened, in its order; each run of the same once."""
        wanted = (event.name for event in self.events if event.name not in ("note", *without))
        return [name for name, _ in itertools.groupby(wanted)]

    def texts(self, name: str) -> list[str]:
        return [event.text for event in self.events if event.name == name]

    def find(self, name: str, text: str = "", after: int = 0) -> Event | None:
        return next((event for event in self.events[after:] if event.name == name and text in event.text), None)


@dataclass
class Running:
    """One intercept under way, and how it ended."""

    heard: Recorder
    task: asyncio.Task[None] | None = None
    status: int | None = None
    error: InterceptorError | None = None
    cancelled: bool = False

    async def run(self, options: InterceptOptions) -> None:
        try:
            self.status = await intercept(options, self.heard)
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        except Exception as error:
            cause = first_cause(error)
            if not isinstance(cause, InterceptorError):
                raise
            self.error = cause

    async def until(self, name: str, text: str = "", *, within: float = 45.0, after: int = 0) -> Event:
        """Return once it was told; fail if it ends before."""
        assert self.task is not None
        async with asyncio.timeout(within):
            while True:
                told = self.heard._told
                found = self.heard.find(name, text, after)
                if found is not None:
                    return found
                assert not self.task.done(), f"ended before {name} {text!r}: {self.error} {self.heard.events}"
                async with asyncio.TaskGroup() as group:
                    waiting = group.create_task(told.wait())
                    await asyncio.wait([waiting, self.task], return_when=asyncio.FIRST_COMPLETED)
                    waiting.cancel()

    async def ended(self, within: float = 45.0) -> Running:
        assert self.task is not None
        async with asyncio.timeout(within):
            await asyncio.wait([self.task])
        return self

    async def stop(self) -> Running:
        """Ctrl-C."""
        assert self.task is not None
        self.task.cancel()
        return await self.ended()


@dataclass
class Scene:
    """What a test needs of the cluster and of this machine."""

    api: Api
    name: str = "orders"
    before: Object = field(default_factory=dict)

    # --- the cluster ---------------------------------------------------------------------------------------------

    @property
    def path(self) -> str:
        return self.api.path("deployments", self.name, group=APPS)

    async def deploy(self, *, replicas: int = 1, ports: tuple[int, ...] = (8080,), env: Any = ()) -> None:
        """Create the workload and its Service, and wait until it answers."""
        container = {
            "name": "app", "image": IMAGE, "imagePullPolicy": "IfNotPresent",
            "command": ["python3", "-S", "-E", "-u", "-c", APP],
            "env": [{"name": "PORTS", "value": " ".join(map(str, ports))}, *env],
            "ports": [{"name": f"p{port}", "containerPort": port} for port in ports],
        }  # fmt: skip
        labels = {"app": self.name}
        template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
        spec = {"replicas": replicas, "selector": {"matchLabels": labels}, "template": template}
        service = {"selector": labels, "ports": [{"name": f"p{port}", "port": port} for port in ports]}
        await self.api.ok("POST", self.api.path("services"), {"metadata": {"name": self.name}, "spec": service})
        await self.api.ok(
            "POST", self.api.path("deployments", group=APPS), {"metadata": {"name": self.name}, "spec": spec}
        )
        await self.rolled_out(replicas)
        await self.serves(f"cluster {ports[0]}", ports[0])
        self.before = await self.fingerprint()

    async def rolled_out(self, replicas: int = 1) -> None:
        def done(found: Object) -> bool:
            status = found["status"]
            counts = [status.get(name, 0) for name in ("replicas", "updatedReplicas", "availableReplicas")]
            return status.get("observedGeneration") == found["metadata"]["generation"] and counts == [replicas] * 3

        await self.api.eventually(lambda: self.api.get(self.path), done)

    async def fingerprint(self) -> Object:
        """All of the Deployment but what the cluster itself counts."""
        found = await self.api.get(self.path)
        annotations = found["metadata"].get("annotations") or {}
        kept = {key: value for key, value in annotations.items() if not key.endswith("/revision")}
        return {"spec": found["spec"], "labels": found["metadata"].get("labels"), "annotations": kept}

    async def expect_unchanged(self, **different: Any) -> None:
        """Byte for byte the same as before, but for what of its spec is named."""
        wanted = {**self.before, "spec": {**self.before["spec"], **different}}
        assert json.dumps(await self.fingerprint(), sort_keys=True) == json.dumps(wanted, sort_keys=True)

    async def expect_clean(self) -> None:
        """No object of a session is left; the garbage collector may take a moment."""
        await self.api.eventually(self.leftovers, lambda found: found == [])

    async def leftovers(self) -> list[str]:
        return [
            f"{plural}/{item['metadata']['name']}"
            for plural, group in LEFT_BY_A_SESSION
            for item in (await self.api.get(self.api.path(plural, group=group)))["items"]
            if item["metadata"]["name"].startswith("interceptor-")
        ]

    async def expect_as_before(self) -> None:
        await self.expect_unchanged()
        await self.expect_clean()

    async def patch(self, operations: list[Object]) -> Object:
        return await self.api.ok("PATCH", self.path, operations, kind=JSON_PATCH)

    async def scale(self, replicas: int) -> None:
        await self.api.ok("PATCH", self.path, {"spec": {"replicas": replicas}}, kind=MERGE)

    async def fault(self, **rule: Any) -> None:
        await self.api.ok("POST", "/faults", {"namespace": self.api.namespace, **rule})

    async def hits(self) -> list[int]:
        return [rule["hits"] for rule in (await self.api.get("/faults"))["rules"]]

    async def cut(self, subresource: str, resource: str = "", how: str = "rst") -> int:
        cut: int = (await self.api.ok("POST", "/faults", {"cut": subresource, "resource": resource, "how": how}))["cut"]
        return cut

    async def ask(self, port: int = 8080) -> str:
        """Be a caller of the Service."""
        spec = (await self.api.get(self.api.path("services", self.name)))["spec"]
        reader, writer = await asyncio.open_connection(spec["clusterIP"], port)
        try:
            writer.write(b"hello\n")
            return (await reader.readline()).decode().strip()
        finally:
            await closed(writer)

    async def serves(self, word: str, port: int = 8080) -> None:
        """Wait until callers get this answer: these pods are ready as soon as they run, a moment before they listen."""

        async def asked() -> str:
            try:
                return await self.ask(port)
            except OSError as error:
                return str(error)

        await self.api.eventually(asked, lambda answer: answer == word)

    def cluster(self) -> Cluster:
        """Our own client of it, to be entered."""
        return open_cluster(Access(kubeconfig=self.api.kubeconfig, namespace=self.api.namespace))

    # --- this machine --------------------------------------------------------------------------------------------

    def options(self, **more: Any) -> InterceptOptions:
        access = Access(kubeconfig=self.api.kubeconfig, namespace=self.api.namespace)
        return InterceptOptions(**{"target": f"deploy/{self.name}", "access": access, **more})

    @asynccontextmanager
    async def intercepting(self, **more: Any) -> AsyncIterator[Running]:
        """An intercept beside the test; stopped at its end if it still runs."""
        running = Running(Recorder())
        async with asyncio.TaskGroup() as group:
            running.task = group.create_task(running.run(self.options(**more)), name="the intercept")
            try:
                yield running
            finally:
                running.task.cancel()


@asynccontextmanager
async def local(word: str = "here", port: int = 0) -> AsyncIterator[int]:
    """The developer's process."""
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with contextlib.suppress(ConnectionError):
            if await reader.readline():
                writer.write(word.encode() + b"\n")
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            await closed(writer)


async def closed(writer: asyncio.StreamWriter) -> None:
    """Close, and wait until that is done."""
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port
