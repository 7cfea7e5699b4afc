"""The few calls to the Kubernetes API that `guard` makes, blocking, from a worker thread; nothing else here calls it."""

from __future__ import annotations

import json
import os
import ssl
from pathlib import Path
from typing import Any

PATIENCE = 3.0


class ApiError(Exception):
    """The API server answered, but not with what was asked for. Anything else raises OSError: it was not reached."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status} {text}")
        self.status = status


class Api:
    """As the session's ServiceAccount; its token and the cluster's authority lie in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._host = os.environ.get("KUBERNETES_SERVICE_HOST", "kubernetes.default.svc")
        self._port = int(os.environ.get("KUBERNETES_SERVICE_PORT", "443"))

    def get(self, path: str) -> dict[str, Any]:
        """Read one object."""
        return self._call("GET", path)[0]

    def get_aged(self, path: str) -> tuple[dict[str, Any], float]:
        """Read one object, and for how many seconds at least nobody has written it: by the API server's own clock."""
        found, date = self._call("GET", path)
        return found, age_of(found, date)

    def create(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Create one object in a collection."""
        return self._call("POST", path, body)[0]

    def patch(self, path: str, operations: list[dict[str, Any]]) -> dict[str, Any]:
        """Apply a JSON Patch."""
        return self._call("PATCH", path, operations, "application/json-patch+json")[0]

    def delete(self, path: str, uid: str = "") -> None:
        """Delete one object (with `uid`, only that very one) and, by the cluster's garbage collector, what it owns."""
        options: dict[str, Any] = {"propagationPolicy": "Background"}
        if uid:
            options["preconditions"] = {"uid": uid}
        self._call("DELETE", path, options, "application/json")

    def _call(
        self, method: str, path: str, body: object = None, kind: str = "application/json"
    ) -> tuple[dict[str, Any], str]:
        """The object it answers with, and when it did (the Date header)."""
        import http.client  # noqa: PLC0415  it brings the e-mail parser along: on a worker's time, not before we listen

        context = ssl.create_default_context(cafile=str(self._folder / "cluster-ca.crt"))
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # many clusters' authorities lack key identifiers
        connection = http.client.HTTPSConnection(self._host, self._port, timeout=PATIENCE, context=context)
        try:
            connection.request(
                method,
                path,
                json.dumps(body) if body is not None else None,
                {
                    "Authorization": "Bearer " + (self._folder / "token").read_text(),
                    "Content-Type": kind,
                    "Accept": "application/json",
                    "User-Agent": "interceptor-agent",
                },
            )
            response = connection.getresponse()
            text = response.read()
        except http.client.HTTPException as error:
            raise OSError(f"the API server's answer is no HTTP ({error!r})") from error
        finally:
            connection.close()
        if response.status >= 300:
            raise ApiError(response.status, text[:200].decode(errors="replace"))
        try:
            value = json.loads(text)
        except ValueError as error:
            raise OSError("the API server's answer is no JSON") from error
        if not isinstance(value, dict):
            raise OSError("the API server's answer is no object")
        return value, response.headers.get("Date", "")


def age_of(found: dict[str, Any], date: str) -> float:
    """Seconds between an object's last write and the answer that showed it; 0 where that can't be told.

    Both times are the API server's (`managedFields` says when each writer last wrote) and cut to whole seconds.
    """
    from datetime import datetime  # noqa: PLC0415  on a worker's time, as above
    from email.utils import parsedate_to_datetime  # noqa: PLC0415

    times = [str(entry["time"]) for entry in found["metadata"].get("managedFields") or () if entry.get("time")]
    if not times:
        return 0.0
    try:
        written = max(datetime.fromisoformat(time.replace("Z", "+00:00")) for time in times)
        return max(0.0, (parsedate_to_datetime(date) - written).total_seconds() - 1.0)
    except (TypeError, ValueError):  # no date, or none that we can read
        return 0.0
