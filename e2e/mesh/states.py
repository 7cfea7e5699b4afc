"""Breaks one thing, and puts it back exactly; the tests of this folder begin with `break_`."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

from e2e.mesh.installation import Installation
from interceptor.kube import Cluster, Conflict, NotFound, Resource
from interceptor.kube.resources import PODS
from interceptor.mesh import proxy_http
from interceptor.mesh.check.model import Row
from interceptor.session.check import CheckOptions, check
from interceptor.session.options import Access

Object = dict[str, Any]
_OWN = ("resourceVersion", "uid", "creationTimestamp", "generation", "managedFields")


class Mesh:
    """The mesh of a test run, on one open client; what a test changes is put back when its `undo` ends."""

    def __init__(self, installation: Installation, cluster: Cluster, kubeconfig: str) -> None:
        self.installed = installation
        self.control = installation.control
        self.data = installation.data
        self.cluster = cluster
        self.kubeconfig = kubeconfig
        self.undo = AsyncExitStack()

    # --- looking ---

    async def check(
        self, target: str | None = None, *, whole: bool = False, user: str = "", **options: Any
    ) -> list[Row]:
        """Run in this process, as the command does; only the test's own namespace is looked at unless `whole`."""
        rows: list[Row] = []
        access = Access(self.kubeconfig, namespace=None if whole else self.data, as_user=user or None)
        usual = {"linkerd_namespace": self.control, "mesh": "linkerd", "machine": False}
        chosen = CheckOptions(target=target, access=access, **{**usual, **options})
        await check(chosen, rows.append)
        return rows

    # --- changing ---

    async def patch(self, resource: Resource, namespace: str | None, name: str, change: Object) -> None:
        """Merge a change into an object."""
        await self._keep(resource, namespace, name)
        await self.cluster.patch(resource, namespace, name, change)

    async def delete(self, resource: Resource, namespace: str | None, name: str) -> None:
        """Take an object away."""
        before = await self.cluster.get(resource, namespace, name)
        await self.cluster.delete(resource, namespace, name)
        await self.until(lambda: self._gone(resource, namespace, name))
        self.undo.push_async_callback(self._create, resource, namespace, before)

    async def create(
        self, resource: Resource, namespace: str | None, body: Object, status: Object | None = None
    ) -> None:
        """Add an object, with a status where only a controller would give it one."""
        name = body["metadata"]["name"]
        await self.cluster.create(
            resource, namespace, {"apiVersion": resource.group_version, "kind": resource.kind, **body}
        )
        self.undo.push_async_callback(self._remove, resource, namespace, name)
        if status is not None:
            await self.cluster.patch(resource, namespace, name, {"status": status}, subresource="status")

    async def ghost(self, name: str, namespace: str = "", status: Object | None = None, **wishes: Any) -> None:
        """Add a pod that only the API knows."""
        body, usual = self.installed.ghost(name, namespace, **wishes)
        await self.create(PODS, namespace or self.data, body, {**usual, **(status or {})})

    async def values(self, **changes: Any) -> None:
        """Change the installation's Helm values."""
        from interceptor.kube.resources import CONFIGMAPS

        text = self.installed.values(**changes)
        await self.patch(CONFIGMAPS, self.control, "linkerd-config", {"data": {"values": text}})

    async def secret(self, name: str, texts: dict[str, str | None]) -> None:
        """Change a Secret of the control plane; None takes a key away."""
        from e2e.mesh.installation import encoded
        from interceptor.kube.resources import SECRETS

        data = {key: None if text is None else encoded(text) for key, text in texts.items()}
        await self.patch(SECRETS, self.control, name, {"data": data})

    async def proxies(self, app: str, answer: Object, port: int = proxy_http.ADMIN_PORT, namespace: str = "") -> None:
        """Let the proxies of a workload answer something else."""
        namespace = namespace or self.data
        for pod in await self.pods(app, namespace):
            name = pod["metadata"]["name"]
            body = json.dumps(answer).encode()
            self.undo.push_async_callback(self._usual, namespace, name, port)
            told = await proxy_http.ask(self.cluster, namespace, name, "/test", port=port, method="PUT", body=body)
            assert told.status == 204

    async def pods(self, app: str, namespace: str = "") -> list[Object]:
        listing = await self.cluster.list(PODS, namespace or self.data, label_selector=f"app={app}")
        return [pod for pod in listing.items if "deletionTimestamp" not in pod["metadata"]]

    async def until(self, true: Callable[[], Awaitable[bool]], within: float = 100) -> None:
        """Poll the cluster until something is so."""
        async with asyncio.timeout(within):
            while not await true():  # noqa: ASYNC110  (there is nothing to wait on but the cluster's state)
                await asyncio.sleep(0.1)

    async def until_ready(self, app: str, namespace: str = "", *, ready: bool = True, count: int | None = None) -> None:
        """Every pod of a workload is ready, or none is."""

        async def so() -> bool:
            pods = await self.pods(app, namespace)
            states = [_ready(pod) for pod in pods]
            return all(state is ready for state in states) and len(pods) == (len(pods) if count is None else count)

        await self.until(so)

    async def all_ready(self) -> bool:
        """Every pod of the mesh is up: what the test before broke has healed."""
        listing = await self.cluster.list(PODS, None, label_selector=f"linkerd.io/control-plane-ns={self.control}")
        return all(_ready(pod) and "deletionTimestamp" not in pod["metadata"] for pod in listing.items)

    # --- putting back ---

    async def _keep(self, resource: Resource, namespace: str | None, name: str) -> None:
        before = await self.cluster.get(resource, namespace, name)
        self.undo.push_async_callback(self._replace, resource, namespace, name, before)

    async def _replace(self, resource: Resource, namespace: str | None, name: str, before: Object) -> None:
        body = copy.deepcopy(before)
        while True:
            now = await self.cluster.get(resource, namespace, name)
            body["metadata"]["resourceVersion"] = now["metadata"]["resourceVersion"]
            try:
                await self.cluster.replace(resource, namespace, name, body)
            except Conflict:  # its controller wrote its status meanwhile
                continue
            return

    async def _create(self, resource: Resource, namespace: str | None, before: Object) -> None:
        body = copy.deepcopy(before)
        for name in _OWN:
            body["metadata"].pop(name, None)
        body.pop("status", None)
        await self.cluster.create(resource, namespace, body)

    async def _remove(self, resource: Resource, namespace: str | None, name: str) -> None:
        with suppress(NotFound):  # a garbage collector was faster
            await self.cluster.delete(resource, namespace, name, grace=0)
        await self.until(lambda: self._gone(resource, namespace, name))

    async def _gone(self, resource: Resource, namespace: str | None, name: str) -> bool:
        try:
            await self.cluster.get(resource, namespace, name)
        except NotFound:
            return True
        return False

    async def _usual(self, namespace: str, pod: str, port: int) -> None:
        await proxy_http.ask(self.cluster, namespace, pod, "/test", port=port, method="DELETE")


def _ready(pod: Object) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


def wrong(rows: list[Row]) -> dict[str, str]:
    """What did not succeed: the sentence and its error."""
    return {row.sentence: row.error for row in rows if row.result != "success"}


@asynccontextmanager
async def opened(installation: Installation, kubeconfig: str) -> AsyncIterator[Mesh]:
    """The mesh for one test."""
    from interceptor.kube import load_access

    async with Cluster(load_access(kubeconfig)) as cluster:
        mesh = Mesh(installation, cluster, kubeconfig)
        await mesh.until(mesh.all_ready)
        async with mesh.undo:
            yield mesh
