"""The Kubernetes API as `workload` and `session` use it: objects, who we are and what we may, the way into a pod."""

from __future__ import annotations

import datetime
import email.utils
from collections.abc import AsyncGenerator, Sequence
from contextlib import AbstractAsyncContextManager

from interceptor.kube.errors import ApiError, Call, NotFound, Unreachable
from interceptor.kube.execute import ExecResult, execute
from interceptor.kube.logs import LogLine, follow_logs
from interceptor.kube.objects import Object, Objects
from interceptor.kube.portforward import PortForward, open_port_forward
from interceptor.kube.post import Posted, open_post
from interceptor.kube.resources import ACCESS_REVIEWS, PODS, SERVICE_ACCOUNTS, SUBJECT_REVIEWS, Resource
from interceptor.kube.streams import ContainerStream, open_stream
from interceptor.kube.transport import Request


class Cluster(Objects):
    """An open client: `async with Cluster(load_access()) as cluster`.

    `connect` and `total` are seconds for a request. Errors are those of `kube.errors`.
    """

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
