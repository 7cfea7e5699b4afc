"""A Prometheus as a source: the same families as the proxies', asked with the same labels that Linkerd's own CLI uses."""

from __future__ import annotations

import asyncio
import http.client
import json
import ssl
from collections.abc import Awaitable, Callable, Iterable
from typing import Any
from urllib.parse import urlencode, urlsplit

from interceptor.errors import InterceptorError, UsageError
from interceptor.kube import ApiError, Cluster
from interceptor.kube.resources import PODS
from interceptor.mesh.exposition import Sample
from interceptor.mesh.proxy_http import ProxyUnreachable, ask
from interceptor.mesh.sources import envoy, linkerd
from interceptor.mesh.sources.model import NoFigures, Query, Table
from interceptor.mesh.sources.whole import whole_of

PORT = 9090
WITHIN = 20.0
LARGEST = 64 * 1024 * 1024
_SELECTORS = (
    "component=prometheus,linkerd.io/extension=viz",
    "app.kubernetes.io/name=prometheus",
    "app=prometheus",
)
# How a workload is named in the labels that scraping adds: Linkerd's own configuration, then the usual ones.
_WORKLOAD = {"Deployment": "deployment", "StatefulSet": "statefulset", "DaemonSet": "daemonset", "Pod": "pod"}

Fetch = Callable[[str], Awaitable[bytes]]


class Prometheus:
    """See `model.Source`."""

    name = "prometheus"

    def __init__(self, where: str, fetch: Fetch) -> None:
        self._where = where
        self._fetch = fetch

    async def routes(self, query: Query) -> Table:
        """The increase over the window, of every family that has any. Raises NoFigures."""
        label = _WORKLOAD.get(query.kind)
        if label is None:
            raise NoFigures(f"Prometheus does not know workloads of kind {query.kind}")
        matcher = f'namespace="{query.namespace}",{label}="{query.name}"'
        grown = await self._increase(linkerd.NAMES, matcher, query.window)
        routes = linkerd.routes_of(grown, query)
        if not routes:
            side = "source" if query.to else "destination"
            matcher = f'{side}_workload_namespace="{query.namespace}",{side}_workload="{query.name}"'
            grown = await self._increase(
                {name for name in envoy.NAMES if name.startswith("istio_")}, matcher, query.window
            )
            routes = envoy.routes_of(grown, query) if grown else []
        if not routes:
            raise NoFigures(f"{self._where} has no requests of {query.title} in the last {query.window:g} s")
        whole = whole_of(grown, routes, query)
        return Table(query.title, self._where, query.window, routes, whole=whole)

    async def _increase(self, names: Iterable[str], matcher: str, window: float) -> list[Sample]:
        """What each series grew by; the labels that tell pods apart stay, nothing is summed twice."""
        counters = "|".join(sorted(name for name in names if not name.startswith(("process_", "tcp_open"))))
        # increase() drops the name, and then equal series would collide: keep it in a label of its own.
        expression = (
            f'increase(label_replace({{__name__=~"{counters}",{matcher}}}, "family", "$1", "__name__", "(.+)")'
            f"[{round(window)}s:])"
        )
        body = await self._fetch("/api/v1/query?" + urlencode({"query": expression}))
        try:
            answer = json.loads(body)
        except ValueError as error:
            raise NoFigures(f"{self._where} did not answer as Prometheus does") from error
        if answer.get("status") != "success":
            raise NoFigures(f"{self._where}: {answer.get('error', 'no answer')}")
        found = []
        for series in answer["data"]["result"]:
            labels: dict[str, str] = dict(series["metric"])
            found.append(Sample(labels.pop("family", ""), labels, float(series["value"][1])))
        return found


def at(url: str) -> Prometheus:
    """The one at an address that this machine can reach. Raises UsageError."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"{url!r} is not the address of a Prometheus", hint="as in http://127.0.0.1:9090")

    async def fetch(path: str) -> bytes:
        return await asyncio.to_thread(_get, url, path)

    return Prometheus(f"Prometheus at {parts.netloc}", fetch)


async def in_cluster(cluster: Cluster, namespace: str) -> Prometheus | None:
    """The first that is found, where its users run it; None without one, or without the right to look."""
    for selector in _SELECTORS:
        for place in (None, namespace):
            try:
                pods = (await cluster.list(PODS, place, label_selector=selector)).items
            except ApiError:  # not our right; the next place may be
                continue
            running = [pod for pod in pods if (pod.get("status") or {}).get("phase") == "Running"]
            if running:
                return _of_pod(cluster, running[0])
            break  # the namespace is part of what was just seen
    return None


def _of_pod(cluster: Cluster, pod: dict[str, Any]) -> Prometheus:
    name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]

    async def fetch(path: str) -> bytes:
        try:
            answer = await ask(cluster, namespace, name, path, port=PORT, within=WITHIN)
        except (ProxyUnreachable, InterceptorError) as error:
            raise NoFigures(f"Prometheus in pod {name} of namespace {namespace}: {error.message}") from error
        return answer.body

    return Prometheus(f"Prometheus in pod {name} of namespace {namespace}", fetch)


def _get(url: str, path: str) -> bytes:
    parts = urlsplit(url)
    assert parts.hostname is not None
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        context = ssl.create_default_context()
        connection = http.client.HTTPSConnection(parts.hostname, parts.port, timeout=WITHIN, context=context)
    else:
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=WITHIN)
    try:
        connection.request("GET", parts.path.rstrip("/") + path)
        return connection.getresponse().read(LARGEST)
    except (OSError, http.client.HTTPException) as error:
        raise NoFigures(f"Prometheus at {parts.netloc} can't be asked: {error}") from error
    finally:
        connection.close()
