"""ServiceAccount tokens as TokenRequest issues them: signed, expiring, bound to an account and perhaps a pod or Secret.

Issued by `api.reviews` and the kubelet's volumes, verified by `authn`. A token dies with what it is bound to. They are
JWTs with an HMAC instead of the cluster's RSA signature: nobody outside this process verifies them.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from dataclasses import dataclass
from typing import Any

from interceptor.devcluster import resources
from interceptor.devcluster.objects import Object, name_of, namespace_of, uid_of
from interceptor.devcluster.store import Store

AUDIENCE = "https://kubernetes.default.svc.cluster.local"
_BINDABLE = {"Pod": resources.PODS, "Secret": resources.SECRETS}


@dataclass(frozen=True, slots=True)
class User:
    """Who sends a request."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def info(self) -> Object:
        """Return the UserInfo object of reviews."""
        info: Object = {"username": self.name, "groups": list(self.groups)}
        if self.uid:
            info["uid"] = self.uid
        if self.extra:
            info["extra"] = {key: list(values) for key, values in self.extra}
        return info


def _pack(part: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(part, separators=(",", ":")).encode()).rstrip(b"=").decode()


def _unpack(part: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


class Tokens:
    """Issues and verifies tokens; one secret per dev cluster."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._secret = secrets.token_bytes(32)

    def issue(
        self, account: Object, seconds: int, bound: Object | None = None, audiences: list[str] | None = None
    ) -> str:
        """Sign a token for a ServiceAccount, bound to `bound` (a Pod or Secret) when given."""
        now = int(time.time())
        inner: Object = {
            "namespace": namespace_of(account),
            "serviceaccount": {"name": name_of(account), "uid": uid_of(account)},
        }
        if bound is not None:
            inner[bound["kind"].lower()] = {"name": name_of(bound), "uid": uid_of(bound)}
        claims = {
            "aud": audiences or [AUDIENCE],
            "exp": now + seconds,
            "iat": now,
            "nbf": now,
            "iss": AUDIENCE,
            "jti": secrets.token_hex(16),
            "kubernetes.io": inner,
            "sub": f"system:serviceaccount:{namespace_of(account)}:{name_of(account)}",
        }
        text = f"{_pack({'alg': 'HS256', 'typ': 'JWT'})}.{_pack(claims)}"
        return f"{text}.{self._sign(text)}"

    def verify(self, token: str) -> User | None:
        """Return whose token this is, or None when it isn't valid (any more)."""
        text, _, signature = token.rpartition(".")
        if not hmac.compare_digest(self._sign(text).encode(), signature.encode()):
            return None
        claims = _unpack(text.split(".")[1])
        if claims["exp"] <= time.time() or AUDIENCE not in claims["aud"]:
            return None
        inner = claims["kubernetes.io"]
        namespace, account = inner["namespace"], inner["serviceaccount"]
        found = self._store.get(resources.SERVICEACCOUNTS, namespace, account["name"])
        if found is None or uid_of(found) != account["uid"]:
            return None
        extra: list[tuple[str, tuple[str, ...]]] = [
            ("authentication.kubernetes.io/credential-id", (f"JTI={claims['jti']}",))
        ]
        for kind, resource in _BINDABLE.items():
            if (bound := inner.get(kind.lower())) is not None:
                obj = self._store.get(resource, namespace, bound["name"])
                if obj is None or uid_of(obj) != bound["uid"]:
                    return None
                extra += [
                    (f"authentication.kubernetes.io/{kind.lower()}-{key}", (bound[key],)) for key in ("name", "uid")
                ]
        return account_user(namespace, account["name"], account["uid"], tuple(sorted(extra)))

    def _sign(self, text: str) -> str:
        digest = hmac.new(self._secret, text.encode(), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def account_user(namespace: str, name: str, uid: str = "", extra: tuple[tuple[str, tuple[str, ...]], ...] = ()) -> User:
    """Return the user a ServiceAccount is."""
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
    return User(f"system:serviceaccount:{namespace}:{name}", groups, uid, extra)
