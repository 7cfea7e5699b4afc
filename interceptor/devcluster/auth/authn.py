"""Who sends a request: client certificate, bearer token, impersonation; called by `api.server`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from interceptor.devcluster.auth.tokens import Tokens, User, account_user
from interceptor.devcluster.status import forbidden, unauthorized

if TYPE_CHECKING:
    from interceptor.devcluster.auth.rbac import Rbac

ANONYMOUS = User("system:anonymous", ("system:unauthenticated",))
_AUTHENTICATED = "system:authenticated"
_WS_TOKEN = "base64url.bearer.authorization.k8s.io."  # noqa: S105  (a protocol name)


class Authenticator:
    """Certificates of our authority, tokens of our accounts, static tokens given by whoever started the cluster."""

    def __init__(self, tokens: Tokens, rbac: Rbac, static: dict[str, User]) -> None:
        self._tokens = tokens
        self._rbac = rbac
        self._static = static

    def user(self, request: web.Request) -> User:
        """Return the user a request acts as, or raise 401 or 403."""
        real = self._real_user(request)
        wanted = request.headers.get("Impersonate-User")
        if not wanted:
            if any(key.lower().startswith("impersonate-") for key in request.headers):
                raise forbidden("users", "", "requested groups or extra without impersonating a user", {})
            return real
        return self._impersonated(request, real, wanted)

    def _real_user(self, request: web.Request) -> User:
        header = request.headers.get("Authorization", "")
        if header.lower().startswith("bearer "):
            token = header[7:].strip()
            user = self._static.get(token) or (self._tokens.verify(token) if token.count(".") == 2 else None)
            if user is None:
                raise unauthorized()
            return user
        transport = request.transport
        cert = transport.get_extra_info("peercert") if transport else None
        if cert:
            parts = [pair for relative in cert["subject"] for pair in relative]
            names = [value for key, value in parts if key == "commonName"]
            groups = tuple(value for key, value in parts if key == "organizationName")
            return User(names[0], (*groups, _AUTHENTICATED))
        return ANONYMOUS

    def _impersonated(self, request: web.Request, real: User, wanted: str) -> User:
        groups = tuple(request.headers.getall("Impersonate-Group", []))
        self._may(real, "users", wanted)
        for group in groups:
            self._may(real, "groups", group)
        if wanted.startswith("system:serviceaccount:") and wanted.count(":") == 3:
            _, _, namespace, name = wanted.split(":")
            account = account_user(namespace, name)
            return account if not groups else User(wanted, (*groups, _AUTHENTICATED))
        if wanted == ANONYMOUS.name:
            return ANONYMOUS
        return User(wanted, (*(group for group in groups if group != _AUTHENTICATED), _AUTHENTICATED))

    def _may(self, real: User, resource: str, name: str) -> None:
        if not self._rbac.allows(real, "impersonate", "", resource, "", "", name):
            raise forbidden(
                resource,
                name,
                f'User "{real.name}" cannot impersonate resource "{resource}" in API group "" at the cluster scope',
                {"name": name, "kind": resource},
            )
