"""The Kubernetes API as scenarios read it many times a second: one kept connection, no process per look.

`kubectl` is the tool for everything a scenario does; this only reads. It shares no code with the product.
"""

import base64
import http.client
import json
import ssl
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from e2e.kubectl import Kubectl

Object = dict[str, Any]
TRIES = 3  # the server may close a kept connection at any time


class Credentials:
    """Where the API server is, and who we are there, out of a kubeconfig."""

    def __init__(self, kubectl: Kubectl) -> None:
        config = kubectl.json("config", "view", "--raw", "--flatten", "--minify")
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        server = urlsplit(cluster["server"])
        self.host, self.port = server.hostname or "", server.port or 443
        self.name: str = cluster.get("tls-server-name") or self.host
        self.headers = {"Authorization": f"Bearer {user['token']}"} if "token" in user else {}
        self.context = ssl.create_default_context(cadata=_decoded(cluster["certificate-authority-data"]).decode())
        self.context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if "client-certificate-data" in user:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "pair"
                path.write_bytes(_decoded(user["client-certificate-data"]) + _decoded(user["client-key-data"]))
                self.context.load_cert_chain(path)


class Api:
    """One connection for one thread."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._connection: http.client.HTTPSConnection | None = None

    def get(self, path: str, *, patience: float = 30) -> tuple[int, bytes]:
        """The status and body of any path."""
        for attempt in range(TRIES):
            if self._connection is None:
                at = self._credentials
                self._connection = http.client.HTTPSConnection(at.host, at.port, context=at.context, timeout=patience)
            try:
                self._connection.request("GET", path, headers=self._credentials.headers)
                answer = self._connection.getresponse()
                return answer.status, answer.read()
            except (OSError, http.client.HTTPException):
                self.close()
                if attempt == TRIES - 1:
                    raise
        raise AssertionError("unreachable")

    def json(self, path: str) -> Object:
        """An object that must be there."""
        status, body = self.get(path)
        if status != 200:
            raise AssertionError(f"GET {path}: {status} {body[:300].decode(errors='replace')}")
        found: Object = json.loads(body)
        return found

    def items(self, group: str, plural: str, namespace: str) -> list[Object]:
        """All objects of a kind; `group` is "v1" or "apps/v1"."""
        root = f"/api/{group}" if "/" not in group else f"/apis/{group}"
        found = self.json(f"{root}/namespaces/{namespace}/{plural}")
        kind = str(found["kind"]).removesuffix("List")
        return [{"kind": kind, **item} for item in found["items"]]

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _decoded(text: str) -> bytes:
    return base64.b64decode(text)
