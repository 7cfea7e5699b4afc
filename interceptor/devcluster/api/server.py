"""The API server's front: each request gets a user, a right, perhaps a fault, then its handler. Run by `cluster`."""

from __future__ import annotations

import json
import ssl
from collections.abc import Awaitable, Callable

from aiohttp import web

from interceptor.devcluster.api import discovery
from interceptor.devcluster.api.handlers import Handlers
from interceptor.devcluster.api.requestinfo import RequestInfo, parse
from interceptor.devcluster.auth.authn import Authenticator
from interceptor.devcluster.auth.rbac import Rbac
from interceptor.devcluster.auth.tokens import User
from interceptor.devcluster.faults import Faults, Stream
from interceptor.devcluster.resources import NAMESPACES, groups
from interceptor.devcluster.status import ApiError, forbidden, no_such_path

PodStream = Callable[[web.Request, RequestInfo, Stream], Awaitable[web.StreamResponse]]
"""Serves logs, exec and port-forward of a pod that exists."""

_BODY_LIMIT = 3 * 1024 * 1024  # as the real API server's


class ApiServer:
    """Everything at the cluster's address."""

    def __init__(
        self,
        handlers: Handlers,
        authenticator: Authenticator,
        rbac: Rbac,
        faults: Faults,
        streams: dict[str, PodStream],
        address: str,
    ) -> None:
        self._handlers = handlers
        self._authenticator = authenticator
        self._rbac = rbac
        self._faults = faults
        self._streams = streams
        self._address = address

    def application(self) -> web.Application:
        """Return the aiohttp application: one route, as paths are taken apart by `requestinfo`."""
        app = web.Application(client_max_size=_BODY_LIMIT)
        app.router.add_route("*", "/{path:.*}", self._serve)
        return app

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        try:
            user = self._authenticator.user(request)
            info = parse(request.method, request.path, request.query)
            await self._faults.strike(info, user.name)
            self._authorize(info, user)
            return await self._dispatch(request, info, user)
        except ApiError as error:
            if not error.reason:
                return web.Response(text=error.message + "\n", status=error.code)
            return web.json_response(error.status(), status=error.code, headers=error.headers)

    async def _dispatch(self, request: web.Request, info: RequestInfo, user: User) -> web.StreamResponse:
        if info.resource is None:
            return await self._plain_path(request)
        if serve := self._streams.get(info.subresource):
            with self._faults.running(info, user.name, request) as stream:
                return await serve(request, info, stream)
        return await self._handlers.serve(request, info, user)

    def _authorize(self, info: RequestInfo, user: User) -> None:
        if info.resource is None:
            if not self._rbac.allows_path(user, info.verb, info.path):
                raise ApiError(
                    403, "Forbidden", f'forbidden: User "{user.name}" cannot {info.verb} path "{info.path}"', details={}
                )
            return
        resource = info.resource
        if self._rbac.allows(
            user, info.verb, resource.group, resource.plural, info.subresource, info.namespace, info.name
        ):
            return
        what = f"{resource.plural}/{info.subresource}" if info.subresource else resource.plural
        scope = f'in the namespace "{info.namespace}"' if info.namespace else "at the cluster scope"
        details = {"kind": resource.plural}
        if info.name:
            details["name"] = info.name
        if resource.group:
            details["group"] = resource.group
        raise forbidden(
            resource.qualified,
            info.name,
            f'User "{user.name}" cannot {info.verb} resource "{what}" in API group "{resource.group}" {scope}',
            details,
        )

    async def _plain_path(self, request: web.Request) -> web.Response:
        path = request.path.rstrip("/")
        parts = path.strip("/").split("/")
        if path in ("/healthz", "/livez", "/readyz"):
            return web.Response(text="ok")
        if path == "/version":
            return web.json_response(discovery.VERSION)
        if path in ("/api", "/apis"):
            return self._discover(request, core=path == "/api")
        if path == "/faults":
            return await self._faults.serve(request)
        if parts[:2] == ["openapi", "v3"]:
            group = "" if parts[2:3] == ["api"] else "/".join(parts[3:4])
            if len(parts) > 2 and group not in groups():
                raise no_such_path()
            return web.json_response(discovery.openapi(group) if len(parts) > 2 else discovery.openapi_index())
        if path == "/api/v1":
            return web.json_response(discovery.resource_list(""))
        if parts[0] == "apis" and len(parts) in (2, 3) and parts[1] in groups():
            if len(parts) == 2:
                return web.json_response(discovery.group(parts[1]))
            if parts[2] == groups()[parts[1]]:
                return web.json_response(discovery.resource_list(parts[1]))
        raise no_such_path()

    def _discover(self, request: web.Request, *, core: bool) -> web.Response:
        if "apidiscovery.k8s.io;v=v2;" in request.headers.get("Accept", ""):
            body = json.dumps(discovery.aggregated(core=core)).encode()
            return web.Response(body=body, headers={"Content-Type": discovery.AGGREGATED})
        return web.json_response(discovery.legacy_versions(self._address) if core else discovery.group_list())


def tls_context(cert: str, key: str, authority: bytes) -> ssl.SSLContext:
    """Return the server's TLS settings: client certificates of our authority are read, none is required."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=authority.decode())
    context.load_cert_chain(cert, key)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.set_alpn_protocols(["http/1.1"])
    return context


__all__ = ["NAMESPACES", "ApiServer", "PodStream", "tls_context"]
