"""The stage of `interceptor demo`: a namespace with the shop, requests to it, and the client as a process. Used by `demo`.

Everything here is done to a Kubernetes API, so the story is the same on the embedded cluster and on a real one.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from interceptor.errors import InterceptorError

if TYPE_CHECKING:
    from interceptor.kube import Cluster

Object = dict[str, Any]

_START, _END = 120.0, 60.0  # seconds; a real cluster may have to pull an image
_LOOK_EVERY = 0.1
_VISIT = 30.0
_LINES_KEPT = 20


@dataclass(slots=True)
class Visits:
    """Requests that were made one after another for a while, and how they went."""

    made: int = 0
    failed: list[str] = field(default_factory=list)
    longest: float = 0.0


class Stage:
    """The shop in a namespace of its own."""

    def __init__(self, cluster: Cluster, namespace: str, image: str) -> None:
        self.cluster = cluster
        self.namespace = namespace
        self.image = image
        self._web = ""

    async def build(self) -> None:
        """Create the namespace and the shop, and wait until it is open."""
        from interceptor.devcluster import shopfront
        from interceptor.kube import resources

        await self.cluster.create(resources.NAMESPACES, None, {"metadata": {"name": self.namespace}})
        await self.cluster.create(resources.CONFIGMAPS, self.namespace, shopfront.config_map())
        for name in shopfront.SERVICES:
            await self.cluster.create(resources.SERVICES, self.namespace, shopfront.service(name))
            await self.cluster.create(resources.DEPLOYMENTS, self.namespace, shopfront.deployment(name, self.image))
        for name in shopfront.SERVICES:
            await self._until_available(name)
        pods = await self.cluster.list(resources.PODS, self.namespace, label_selector="app=web")
        self._web = pods.items[0]["metadata"]["name"]
        # Ready pods are known to DNS and Services a moment later.
        await self.visit_until(lambda answer: True, within=_START)

    async def _until_available(self, name: str) -> None:
        from interceptor.kube import resources

        deadline = time.monotonic() + _START
        while True:
            deployment = await self.cluster.get(resources.DEPLOYMENTS, self.namespace, name)
            if (deployment.get("status") or {}).get("availableReplicas"):
                return
            pods = await self.cluster.list(resources.PODS, self.namespace, label_selector=f"app={name}")
            for pod in pods.items:
                for status in (pod.get("status") or {}).get("containerStatuses") or ():
                    waiting = status["state"].get("waiting") or {}
                    if waiting.get("reason") in ("ErrImagePull", "ImagePullBackOff"):
                        raise InterceptorError(
                            f"the cluster can't pull {self.image}: {waiting.get('message', waiting['reason'])}",
                            hint="name an image with Python that it can: interceptor demo --cluster --image IMAGE",
                        )
            if time.monotonic() > deadline:
                raise InterceptorError(
                    f"the demo's {name} did not start within {_START:.0f} s",
                    hint=f"kubectl -n {self.namespace} describe pods",
                )
            await asyncio.sleep(_LOOK_EVERY)

    async def visit(self) -> Object:
        """Send one request to the shop, from inside the cluster, and return the answer."""
        from interceptor.devcluster import shopfront

        command = ["python3", shopfront.PATH_IN_POD, "visit"]
        result = await self.cluster.exec(self.namespace, self._web, "web", command, timeout=_VISIT)
        if result.exit_code:
            raise InterceptorError(f"the shop did not answer: {result.stderr.decode(errors='replace').strip()}")
        answer: Object = json.loads(result.stdout)
        return answer

    async def visit_until(self, wanted: Callable[[Object], bool], within: float) -> tuple[Object, Visits]:
        """Send requests one after another until an answer is as wanted."""
        visits, deadline = Visits(), time.monotonic() + within
        while True:
            began = time.monotonic()
            visits.made += 1
            try:
                answer = await self.visit()
            except InterceptorError as error:
                visits.failed.append(error.message)
            else:
                visits.longest = max(visits.longest, time.monotonic() - began)
                if wanted(answer):
                    return answer, visits
            if time.monotonic() > deadline:
                last = f"; last: {visits.failed[-1]}" if visits.failed else ""
                raise InterceptorError(f"the shop was not as expected within {within:.0f} s{last}")
            await asyncio.sleep(_LOOK_EVERY)

    async def orders(self) -> Object:
        """Return what of deploy/orders must be the same before and after: all but what the cluster itself counts."""
        from interceptor.kube import resources

        found = await self.cluster.get(resources.DEPLOYMENTS, self.namespace, "orders")
        metadata = found["metadata"]
        annotations = {
            key: value for key, value in (metadata.get("annotations") or {}).items() if not key.endswith("/revision")
        }
        return {"spec": found["spec"], "labels": metadata.get("labels"), "annotations": annotations}

    async def leftovers(self) -> list[str]:
        """Wait until nothing of a session is left, and return what still is."""
        deadline = time.monotonic() + _END
        while True:
            found = [name async for name in self._session_objects()]
            if not found or time.monotonic() > deadline:
                return found
            await asyncio.sleep(_LOOK_EVERY)

    async def _session_objects(self) -> AsyncIterator[str]:
        from interceptor.kube import resources

        kinds = (
            resources.JOBS,
            resources.LEASES,
            resources.SERVICE_ACCOUNTS,
            resources.ROLES,
            resources.ROLE_BINDINGS,
            resources.SECRETS,
        )
        for kind in kinds:
            for obj in (await self.cluster.list(kind, self.namespace)).items:
                if obj["metadata"]["name"].startswith("interceptor-"):
                    yield f"{kind.kind} {obj['metadata']['name']}"

    async def clear(self) -> None:
        """Delete the namespace and wait until it is gone."""
        from interceptor.kube import resources
        from interceptor.kube.errors import NotFound

        deadline = time.monotonic() + _END
        try:
            await self.cluster.delete(resources.NAMESPACES, None, self.namespace)
            while time.monotonic() < deadline:
                await self.cluster.get(resources.NAMESPACES, None, self.namespace)
                await asyncio.sleep(_LOOK_EVERY)
        except NotFound:
            return
        raise InterceptorError(
            f"namespace {self.namespace} is still being deleted", hint=f"kubectl get ns {self.namespace}"
        )


class Client:
    """A running `interceptor intercept`: its events as it tells them, and its end."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self._said: deque[str] = deque(maxlen=_LINES_KEPT)

    async def until_ready(self, tell: Callable[[Object], None]) -> None:
        """Pass on each event until `ready`."""
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            event: Object = json.loads(line)
            tell(event)
            if event["event"] == "ready":
                return
        await self.process.wait()
        raise InterceptorError("the interceptor ended before it was ready: " + " / ".join(self._said))

    async def listen(self) -> None:
        """Keep the last lines it and the local process wrote, for when something goes wrong."""
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self._said.append(line.decode(errors="replace").strip())

    async def kill(self) -> None:
        """Kill it so that it can clean up nothing."""
        self.process.send_signal(signal.SIGKILL)
        await self.process.wait()


@asynccontextmanager
async def run_client(arguments: list[str], environment: dict[str, str]) -> AsyncIterator[Client]:
    """Run `interceptor` as a person would, in a process of its own; at the end it is asked to stop and undo."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "interceptor",
        *arguments,
        env=os.environ | environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    client = Client(process)
    async with asyncio.TaskGroup() as group:
        listening = group.create_task(client.listen(), name="what the client says")
        try:
            yield client
        finally:
            if process.returncode is None:
                process.terminate()
                await process.wait()
            listening.cancel()


def free_port(wanted: int) -> int:
    """Return `wanted` if nothing listens there, else any free port."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise InterceptorError("no free port on 127.0.0.1", hint="end some programs that listen there")


def fresh_namespace() -> str:
    """Return a name nobody else uses."""
    return f"interceptor-demo-{secrets.token_hex(3)}"
