"""Objects of the Kubernetes API: one method a verb, objects as dicts; `client.Cluster` is these and all else."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from interceptor.kube.access import Access
from interceptor.kube.errors import Call
from interceptor.kube.resources import Resource
from interceptor.kube.transport import Request, Transport
from interceptor.kube.watch import Listing, Reflector, WatchEvent, list_objects

Object = dict[str, Any]


class Objects:
    """Open for requests within its `async with`."""

    def __init__(self, access: Access, *, connect: float = 5.0, total: float = 30.0) -> None:
        self.access = access
        self.namespace = access.namespace
        self.user = access.user
        self.server = access.server
        self._limits = (connect, total)
        self._open: Transport | None = None

    async def __aenter__(self) -> Self:
        connect, total = self._limits
        self._open = Transport(self.access, connect=connect, total=total)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._transport.close()
        self._open = None

    @property
    def _transport(self) -> Transport:
        if self._open is None:
            raise RuntimeError("Cluster is used outside of its `async with`")
        return self._open

    async def get(
        self, resource: Resource, namespace: str | None, name: str, *, subresource: str | None = None
    ) -> Object:
        """Read one object."""
        call = Call("get", resource, namespace or "", name, subresource or "")
        return await self._json(Request("GET", resource.path(namespace, name, subresource), call))

    async def list(
        self,
        resource: Resource,
        namespace: str | None,
        *,
        label_selector: str = "",
        field_selector: str = "",
        metadata_only: bool = False,
    ) -> Listing:
        """Read all objects of a namespace, or of all namespaces; with `metadata_only` neither spec nor status need come."""
        selectors = _selectors(label_selector, field_selector)
        return await list_objects(self._transport, resource, namespace, selectors, metadata_only=metadata_only)

    def watch(
        self, resource: Resource, namespace: str | None, *, label_selector: str = "", field_selector: str = ""
    ) -> AsyncGenerator[WatchEvent, None]:
        """Follow what `list` reads: first everything as ADDED, then SYNCED, then each change.

        Leaving early? Wrap it in `contextlib.aclosing`, so that the connection ends there and then.
        """
        return Reflector(self._transport, resource, namespace, _selectors(label_selector, field_selector)).events()

    async def create(
        self,
        resource: Resource,
        namespace: str | None,
        body: Mapping[str, Any],
        *,
        subresource: str | None = None,
        name: str | None = None,
        dry_run: bool = False,
        manager: str = "",
    ) -> Object:
        """Create an object; with `name` and `subresource`, post to a subresource of one that exists."""
        call = Call("create", resource, namespace or "", name or _name(body), subresource or "")
        path = resource.path(namespace, name if subresource else None, subresource)
        return await self._json(Request("POST", path, call, _dry(dry_run) | _as(manager), body))

    async def patch(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        patch: Sequence[Mapping[str, Any]] | Mapping[str, Any],
        *,
        subresource: str | None = None,
        dry_run: bool = False,
        manager: str = "",
    ) -> Object:
        """Change an object: a list is a JSON Patch, a mapping a JSON merge patch. `manager` gets what it writes."""
        call = Call("patch", resource, namespace or "", name, subresource or "")
        kind = "merge-patch" if isinstance(patch, Mapping) else "json-patch"
        path = resource.path(namespace, name, subresource)
        return await self._json(
            Request("PATCH", path, call, _dry(dry_run) | _as(manager), patch, content_type=f"application/{kind}+json")
        )

    async def apply(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        body: Mapping[str, Any],
        *,
        manager: str,
        force: bool = False,
        dry_run: bool = False,
    ) -> Object:
        """Server-side apply as `manager`; raises Conflict where another owns a field, unless `force` takes it."""
        call = Call("patch", resource, namespace or "", name)
        params = {**_dry(dry_run), **_as(manager), "force": str(force).lower()}
        path = resource.path(namespace, name)
        return await self._json(
            Request("PATCH", path, call, params, body, content_type="application/apply-patch+yaml")  # JSON is YAML
        )

    async def replace(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        body: Mapping[str, Any],
        *,
        subresource: str | None = None,
        dry_run: bool = False,
    ) -> Object:
        """Write an object whole; with its resourceVersion in it, only if nobody else did meanwhile."""
        call = Call("update", resource, namespace or "", name, subresource or "")
        path = resource.path(namespace, name, subresource)
        return await self._json(Request("PUT", path, call, _dry(dry_run), body))

    async def delete(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        *,
        propagation: str = "Background",
        uid: str | None = None,
        version: str | None = None,
        grace: int | None = None,
    ) -> None:
        """Delete an object; only if it is still that very one (`uid`), or even at that resourceVersion, else Conflict."""
        options: Object = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation}
        conditions = {key: value for key, value in (("uid", uid), ("resourceVersion", version)) if value is not None}
        if conditions:
            options["preconditions"] = conditions
        if grace is not None:
            options["gracePeriodSeconds"] = grace
        call = Call("delete", resource, namespace or "", name)
        await self._json(Request("DELETE", resource.path(namespace, name), call, body=options))

    async def _json(self, request: Request) -> Object:
        answer: Object = await self._transport.json(request)
        return answer


def _selectors(label: str, field: str) -> dict[str, str]:
    return {key: value for key, value in (("labelSelector", label), ("fieldSelector", field)) if value}


def _as(manager: str) -> dict[str, str]:
    return {"fieldManager": manager} if manager else {}


def _dry(dry_run: bool) -> dict[str, str]:
    return {"dryRun": "All"} if dry_run else {}


def _name(body: Mapping[str, Any]) -> str:
    return str((body.get("metadata") or {}).get("name") or "")
