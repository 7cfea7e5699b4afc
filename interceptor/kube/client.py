"""The Kubernetes API as `workload` and `session` use it: one method a verb, objects as dicts."""

from __future__ import annotations

import datetime
import email.utils
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any

from interceptor.kube.access import Access
from interceptor.kube.errors import ApiError, Call, NotFound, Unreachable
from interceptor.kube.execute import ExecResult, execute
from interceptor.kube.logs import LogLine, follow_logs
from interceptor.kube.portforward import PortForward, open_port_forward
from interceptor.kube.post import Posted, open_post
from interceptor.kube.resources import ACCESS_REVIEWS, PODS, SERVICE_ACCOUNTS, SUBJECT_REVIEWS, Resource
from interceptor.kube.streams import ContainerStream, open_stream
from interceptor.kube.transport import Request, Transport
from interceptor.kube.watch import Listing, Reflector, WatchEvent, list_objects

Object = dict[str, Any]


class Cluster:
    """An open client: `async with Cluster(load_access()) as cluster`.

    `connect` and `total` are seconds for a request. Errors are those of `kube.errors`.
    """

    def __init__(self, access: Access, *, connect: float = 5.0, total: float = 30.0) -> None:
        self.access = access
        self.namespace = access.namespace
        self.user = access.user
        self.server = access.server
        self._limits = (connect, total)
        self._open: Transport | None = None

    async def __aenter__(self) -> Cluster:
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

    # -- objects ----------------------------------------------------------------------------------------------------

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

    # -- who and what -----------------------------------------------------------------------------------------------

    async def allowed(
        self, verb: str, resource: Resource, namespace: str | None, *, name: str = "", subresource: str = ""
    ) -> tuple[bool, str]:
        """Whether we may, and what the server says to it."""
        asked = {
            "verb": verb,
            "group": resource.group,
            "resource": resource.plural,
            "namespace": namespace or "",
            "name": name,
            "subresource": subresource,
        }
        body = {
            "apiVersion": ACCESS_REVIEWS.group_version,
            "kind": ACCESS_REVIEWS.kind,
            "spec": {"resourceAttributes": {key: value for key, value in asked.items() if value}},
        }
        status = (await self.create(ACCESS_REVIEWS, None, body))["status"]
        return bool(status.get("allowed")), str(status.get("reason") or "")

    async def whoami(self) -> str:
        """Our name as the server sees it; on servers too old to say (before 1.28), the kubeconfig's."""
        body = {"apiVersion": SUBJECT_REVIEWS.group_version, "kind": SUBJECT_REVIEWS.kind}
        try:
            review = await self.create(SUBJECT_REVIEWS, None, body)
        except ApiError as error:
            if error.status in (403, 404):
                return self.user
            raise
        return str(review["status"]["userInfo"].get("username") or self.user)

    async def version(self) -> Object:
        """The server's version, as `kubectl version` shows it."""
        return await self._json(Request("GET", "/version", Call("read the server's version")))

    async def serves(self, group_version: str) -> bool:
        """Whether there is such an API. Raises ApiError where it is an extension's, and that doesn't answer."""
        try:
            await self._json(Request("GET", f"/apis/{group_version}", Call(f"read what {group_version} has")))
        except NotFound:
            return False
        return True

    def post(self, path: str, call: Call, body: bytes, *, silence: float) -> AbstractAsyncContextManager[Posted]:
        """Send bytes to an extension's API, and read bytes for as long as they come."""
        return open_post(self._transport, path, call, body, silence=silence)

    async def clock(self) -> datetime.datetime:
        """The time by the server's clock, as its answers are stamped: to the second, and as late as the answer."""
        request = Request("GET", "/version", Call("read the server's clock"))
        async with self._transport.open(request) as response:
            stamp = response.headers.get("Date", "")
        try:
            return email.utils.parsedate_to_datetime(stamp)
        except ValueError as error:
            raise Unreachable(f"{self.server} does not say what time it is") from error

    async def token(self, namespace: str, service_account: str, seconds: int) -> tuple[str, str]:
        """A token for a ServiceAccount, and when it expires (RFC 3339); the server may shorten or lengthen its life."""
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": seconds},
        }
        answer = await self.create(SERVICE_ACCOUNTS, namespace, body, subresource="token", name=service_account)
        return str(answer["status"]["token"]), str(answer["status"]["expirationTimestamp"])

    # -- into a pod -------------------------------------------------------------------------------------------------

    async def logs(self, namespace: str, pod: str, container: str, *, tail: int = 100, previous: bool = False) -> str:
        """The last lines that a container wrote."""
        call = Call("get", PODS, namespace, pod, "log")
        params = {"container": container, "tailLines": str(tail)}
        if previous:
            params["previous"] = "true"
        body = await self._transport.read(Request("GET", PODS.path(namespace, pod, "log"), call, params))
        return body.decode(errors="replace")

    def follow_logs(
        self, namespace: str, pod: str, container: str, *, since: str = "", seconds: int = 1
    ) -> AsyncGenerator[LogLine, None]:
        """The lines that a container writes from a time on (RFC 3339, else so many seconds ago), until it ends."""
        return follow_logs(self._transport, namespace, pod, container, since=since, seconds=seconds)

    async def exec(
        self,
        namespace: str,
        pod: str,
        container: str,
        command: Sequence[str],
        *,
        stdin: bytes = b"",
        timeout: float = 10.0,  # noqa: ASYNC109  (bounds the remote command, its words are part of the error)
    ) -> ExecResult:
        """Run a command in a container to its end and return what it wrote."""
        return await execute(self._transport, namespace, pod, container, [*command], stdin=stdin, within=timeout)

    def stream(
        self,
        namespace: str,
        pod: str,
        container: str,
        command: Sequence[str] | None = None,
        *,
        stdin: bool = True,
        tty: bool = False,
    ) -> AbstractAsyncContextManager[ContainerStream]:
        """Run a command in a container, or attach to its own process, both ways for as long as the context lasts."""
        return open_stream(self._transport, namespace, pod, container, command, stdin=stdin, tty=tty)

    async def port_forward(self, namespace: str, pod: str, port: int) -> PortForward:
        """Open a connection to a port of a pod; the caller closes its socket."""
        return await open_port_forward(self.access, namespace, pod, port)

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
