"""Whether the callers' proxies took a change, from what they themselves tell. Pure; `session.profile_effect` asks them.

An Envoy shows its configuration: that is proof. A Linkerd proxy shows no configuration, only what it did: proof is something
that it counts now and could not have counted before. Until a request fails or takes too long there is nothing to count, and
then nothing is claimed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from interceptor.mesh.exposition import Sample
from interceptor.mesh.profile.edit import Edit
from interceptor.mesh.profile.template import example, split
from interceptor.mesh.profile.units import seconds_of
from interceptor.mesh.sources.model import Query

Object = dict[str, Any]

SIGNS = frozenset(
    {
        "route_request_total",
        "route_response_total",
        "route_retryable_total",
        "outbound_http_route_request_statuses_total",
        "outbound_http_route_retry_requests_total",
        "outbound_grpc_route_request_statuses_total",
        "outbound_grpc_route_retry_requests_total",
    }
)
ENVOYS_TIMEOUT = "15s"  # where its configuration says nothing
_TIMEOUTS = frozenset({"timeout", "REQUEST_TIMEOUT"})


@dataclass(frozen=True)
class Proof:
    """What can be said. `state`: "proven"; "open" (nothing speaks for or against yet); "impossible"."""

    state: Literal["proven", "open", "impossible"]
    text: str


@dataclass(frozen=True)
class Asked:
    """What the proxies are to do now, and did not have to before: None where that did not change."""

    route: str
    path: str
    timeout: float | None  # seconds; 0: none any more
    retries: bool | None
    number: int | None  # of retries, where the kind knows one
    made: bool  # no object named the route before


def asked_of(edit: Edit) -> Asked:
    """Read it from the changed places."""
    timeout: float | None = None
    retries: bool | None = None
    number: int | None = None
    for change in edit.changes:
        last = change.path[-1]
        if last in ("timeout", "request", "timeout.linkerd.io/request"):
            timeout = seconds_of(change.after) or 0.0
        elif last in ("isRetryable", "retry.linkerd.io/http", "retry.linkerd.io/grpc"):
            retries = bool(change.after)
        elif last == "retry.linkerd.io/limit" and change.after:
            retries, number = True, int(change.after)
    return Asked(edit.route, edit.path, timeout, retries, number, edit.before is None)


def by_counters(asked: Asked, query: Query, before: Sequence[Sample], now: Sequence[Sample]) -> str:
    """What a Linkerd proxy's counters prove, in words; "" for nothing (yet). Samples are of one proxy, named in SIGNS."""
    earlier = _of_route(asked, query, before)
    later = _of_route(asked, query, now)
    if asked.made and later and not earlier:
        return "it counts the route by its name"
    if asked.retries and _retries(later) > 0 and _retries(earlier) == 0:
        return "it retries"
    if asked.timeout and _timeouts(later) > 0 and _timeouts(earlier) == 0:
        return "it ends what takes too long"
    return ""


def calls(query: Query, samples: Iterable[Sample]) -> bool:
    """Whether a Linkerd proxy has called the service at all."""
    return any(query.is_wanted(_service(sample)) and _service(sample) for sample in samples)


def knows(query: Query, samples: Iterable[Sample], *, at_home: bool) -> bool:
    """Whether an Envoy counts what it asks of the service. A short name means the service only where that is `at_home`."""
    for sample in samples:
        labels = sample.labels
        name = labels.get("destination_service") or labels.get("envoy_cluster_name") or ""
        host = name.rpartition("|")[2]
        if host and (at_home or "." in host) and query.is_wanted(host):
            return True
    return False


def _service(sample: Sample) -> str:
    labels = sample.labels
    if labels.get("direction", "outbound") != "outbound":
        return ""
    if "parent_name" in labels and sample.name.startswith("outbound"):
        return f"{labels['parent_name']}.{labels.get('parent_namespace', '')}"
    return labels.get("dst") or labels.get("authority") or ""


def _of_route(asked: Asked, query: Query, samples: Iterable[Sample]) -> list[Sample]:
    return [
        sample
        for sample in samples
        if sample.labels.get("rt_route", sample.labels.get("route_name")) == asked.route
        and _service(sample)
        and query.is_wanted(_service(sample))
    ]


def _retries(samples: Sequence[Sample]) -> float:
    """How many requests were tried again."""
    return sum(
        sample.value
        for sample in samples
        if sample.name.endswith("_retry_requests_total")
        or (sample.name == "route_retryable_total" and "skipped" not in sample.labels)
    )


def _timeouts(samples: Sequence[Sample]) -> float:
    return sum(sample.value for sample in samples if sample.labels.get("error") in _TIMEOUTS)


def by_config(asked: Asked, query: Query, dump: Object) -> bool | None:
    """Whether an Envoy's configuration says what is asked; None where it has no such route."""
    found = [route for route in _envoy_routes(dump, query) if _is_meant(route, asked)]
    if not found:
        return None
    return all(_says(route.get("route") or {}, asked) for route in found)


def _envoy_routes(dump: Any, query: Query) -> Iterator[Object]:
    """All routes that lead to the service: by the virtual host's domains, or by the cluster's name."""
    if isinstance(dump, list):
        for one in dump:
            yield from _envoy_routes(one, query)
    elif isinstance(dump, dict):
        if isinstance(dump.get("routes"), list) and "domains" in dump:
            ours = any(query.is_wanted(str(domain)) for domain in dump["domains"])
            for route in dump["routes"]:
                if ours or _leads_to(str((route.get("route") or {}).get("cluster", "")), query):
                    yield route
        else:
            for value in dump.values():
                yield from _envoy_routes(value, query)


def _leads_to(cluster: str, query: Query) -> bool:
    """Istio's `outbound|80||books.shop.svc.cluster.local`, or a name like the Service's."""
    host = cluster.rpartition("|")[2]
    return bool(host) and query.is_wanted(host.replace("_", ".").replace("/", "."))


def _is_meant(route: Object, asked: Asked) -> bool:
    if route.get("name") in (asked.route, asked.path):
        return True
    known = split(asked.path)
    if known is None:
        return False
    path, match = example(known[1]), route.get("match") or {}
    if "path" in match:
        return bool(match["path"] == path)
    if "safe_regex" in match:
        try:
            return re.fullmatch(match["safe_regex"].get("regex", ""), path) is not None
        except re.error:
            return False
    return False  # a prefix is everybody's


def _says(action: Object, asked: Asked) -> bool:
    shown = seconds_of(action.get("timeout", ENVOYS_TIMEOUT)) or 0.0
    if asked.timeout is not None and abs(shown - asked.timeout) > 1e-6:
        return False
    policy = action.get("retry_policy") or {}
    number = int(policy.get("num_retries", 1)) if policy else 0
    if asked.retries is False and number:
        return False
    return not asked.retries or (number == asked.number if asked.number else number > 0)
