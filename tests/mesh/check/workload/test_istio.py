"""A workload under Istio: each broken state is found by the check that is meant, and by no other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from interceptor.mesh.check.workload import istio_objects
from tests.mesh.api import MeshApi
from tests.mesh.check.test_istio import istio, pod
from tests.mesh.conftest import Checked

Object = dict[str, Any]
Break = Callable[[MeshApi], None]

SIDECAR = "istio/istio-proxy:1.29.0"


def workload(api: MeshApi) -> None:
    """`orders`, meshed and well, in versions v1 and v2 behind one Service, with routes and policies that fit."""
    istio(api)
    api.objects += [
        deployment(), service("orders"), account("web"),
        pod("orders-1", "shop", "app:1", SIDECAR, app="orders", version="v1"),
        pod("orders-2", "shop", "app:1", SIDECAR, app="orders", version="v2"),
        made("DestinationRule", "orders", {"host": "orders", "subsets": [subset("v1"), subset("v2")],
                                           "trafficPolicy": {"tls": {"mode": "ISTIO_MUTUAL"}}}),
        made("VirtualService", "orders", {"hosts": ["orders.shop.svc.cluster.local"], "http": [
            {"match": [{"uri": {"prefix": "/new"}}], "route": [to("v2")]}, {"route": [to("v1")]}]}),
        made("PeerAuthentication", "default", {"mtls": {"mode": "STRICT"}}),
        made("AuthorizationPolicy", "orders", {"selector": {"matchLabels": {"app": "orders"}}, "rules": [
            {"from": [{"source": {"principals": ["cluster.local/ns/shop/sa/web"]}}],
             "to": [{"operation": {"ports": ["8080"]}}]}]}),
    ]  # fmt: skip
    api.remove("Pod", "web-1")


def made(kind: str, name: str, spec: Object, namespace: str = "shop") -> tuple[Object, str]:
    return {"kind": kind, "metadata": {"name": name, "namespace": namespace}, "spec": spec}, namespace


def deployment() -> tuple[Object, str]:
    probe = {"httpGet": {"path": "/", "port": 8080}}
    container = {"name": "app", "image": "app:1", "ports": [{"containerPort": 8080}], "readinessProbe": probe}
    template = {"metadata": {"labels": {"app": "orders"}, "annotations": {}}, "spec": {"containers": [container]}}
    return made(
        "Deployment", "orders",
        {"replicas": 2, "selector": {"matchLabels": {"app": "orders"}}, "template": template},
    )  # fmt: skip


def service(name: str) -> tuple[Object, str]:
    return made("Service", name, {"selector": {"app": "orders"}, "ports": [{"port": 80, "targetPort": 8080}]})


def account(name: str) -> tuple[Object, str]:
    return {"kind": "ServiceAccount", "metadata": {"name": name, "namespace": "shop"}}, "shop"


def subset(version: str) -> Object:
    return {"name": version, "labels": {"version": version}}


def to(version: str) -> Object:
    return {"destination": {"host": "orders", "subset": version}}


def edit(kind: str, name: str, *path: str, value: Any) -> Break:
    """Change a part of an object; None takes it away."""

    def change(api: MeshApi) -> None:
        node: Any = api.find(kind, name)
        for step in path[:-1]:
            node = node[int(step)] if isinstance(node, list) else node.setdefault(step, {})
        if value is None:
            node.pop(path[-1])
        else:
            node[path[-1]] = value

    return change


def add(kind: str, name: str, spec: Object, namespace: str = "shop") -> Break:
    return lambda api: api.objects.append(made(kind, name, spec, namespace))


def gone(kind: str, name: str) -> Break:
    return lambda api: api.remove(kind, name)


def bare(name: str, **labels: str) -> Break:
    return lambda api: api.objects.append(
        pod(name, "shop", "app:1", **{"sidecar.istio.io/inject": "false", **labels})  # on purpose
    )


def without_sidecar(api: MeshApi) -> None:
    api.objects.append(pod("orders-3", "shop", "app:1", app="orders", version="v1"))
    edit("PeerAuthentication", "default", "spec", "mtls", "mode", value="PERMISSIVE")(api)


def unready(api: MeshApi) -> None:
    api.find("Pod", "orders-1")["status"]["containerStatuses"][1]["ready"] = False


def outdated(api: MeshApi) -> None:
    api.find("Pod", "orders-1")["spec"]["containers"][1]["image"] = "istio/istio-proxy:1.20.0"


def unserved(api: MeshApi) -> None:
    api.find("Namespace", "shop")["metadata"]["labels"] = {"istio.io/rev": "canary"}


TEMPLATE = ("Deployment", "orders", "spec", "template", "metadata")
HTTP = ("VirtualService", "orders", "spec", "http")
POLICY = ("AuthorizationPolicy", "orders", "spec")
MODE = ("PeerAuthentication", "default", "spec", "mtls", "mode")

STATES: list[tuple[str, Break, str, str]] = [
    # name, what is broken, the check that says so, a part of what it says
    ("pod without sidecar", without_sidecar, "pods have the proxy they should have", "* orders-3"),
    ("sidecar not ready", unready, "its proxies are ready", "* orders-1"),
    ("old sidecar", outdated, "its proxies are up-to-date", "(1.20.0)"),
    ("misspelt injection", edit(*TEMPLATE, "labels", "sidecar.istio.io/inject", value="yes"),
     "the mesh's settings do what they seem to", '"yes" means nothing'),
    ("misspelt namespace", edit("Namespace", "shop", "metadata", "labels", "istio-injection", value="on"),
     "the mesh's settings do what they seem to", 'istio-injection: "on" means nothing'),
    ("excluded port", edit(*TEMPLATE, "annotations", "traffic.sidecar.istio.io/excludeInboundPorts", value="8000-9000"),
     "the mesh's settings do what they seem to", "port 8080 is one that Services lead to"),
    ("revision nobody serves", unserved, "the mesh's settings do what they seem to", "no injector serves"),
    ("hidden revision", edit("Namespace", "shop", "metadata", "labels", "istio.io/rev", value="canary"),
     "the mesh's settings do what they seem to", "does nothing where the namespace has istio-injection too"),
    ("no such service", edit(*HTTP, "1", "route", value=[{"destination": {"host": "nowhere"}}]),
     "routes lead to Services that exist", "service nowhere"),
    ("no such port", edit(*HTTP, "1", "route", value=[{"destination": {"host": "orders", "port": {"number": 81}}}]),
     "routes lead to Services that exist", "port 81 of service orders"),
    ("no such subset", edit(*HTTP, "1", "route", value=[to("v3")]),
     "routes lead to subsets that are defined", "VirtualService orders: subset v3 of orders"),
    ("other's missing subset",
     add("VirtualService", "web", {"hosts": ["web"], "http": [{"mirror": to("v9")["destination"]}]}),
     "routes lead to subsets that are defined", "VirtualService web: subset v9 of orders"),
    ("empty subset", gone("Pod", "orders-2"), "subsets have pods", "subset v2, version=v2"),
    ("no catch-all", edit(*HTTP, "1", "match", value=[{"uri": {"exact": "/old"}}]),
     "VirtualServices have a catch-all", "only /new*, /old"),
    ("second virtual service", add("VirtualService", "second", {"hosts": ["orders"], "http": [{"route": [to("v1")]}]}),
     "no route shadows another", "VirtualService second: orders is for service orders already"),
    ("route behind catch-all", edit(*HTTP, "0", "match", value=[{"uri": {"prefix": "/"}}]),
     "no route shadows another", "http route 2 is behind a catch-all"),
    ("plain text to strict", edit("DestinationRule", "orders", "spec", "trafficPolicy", "tls", "mode", value="DISABLE"),
     "callers and workload agree on mutual TLS", "DISABLE to orders:80, where PeerAuthentication default is STRICT"),
    ("callers outside", bare("outside-1"), "callers without a sidecar are let in", "* outside-1"),
    ("probes as they are", edit(*TEMPLATE, "annotations", "sidecar.istio.io/rewriteAppHTTPProbers", value="false"),
     "probes pass mutual TLS", "readinessProbe of container app"),
    ("everybody denied", add("AuthorizationPolicy", "no", {"action": "DENY", "rules": [{}]}),
     "policies let somebody in", "AuthorizationPolicy no denies every request"),
    ("nobody allowed", edit(*POLICY, "rules", value=None), "policies let somebody in", "orders has no rules"),
    ("nobody allowed in the mesh", lambda api: (gone("AuthorizationPolicy", "orders")(api),
                                                add("AuthorizationPolicy", "all", {}, "istio-system")(api))[0],
     "policies let somebody in", "all has no rules"),
    ("port forgotten", edit(*POLICY, "rules", "0", "to", value=[{"operation": {"ports": ["9090"]}}]),
     "policies let somebody in", "* port 8080"),
    ("caller that isn't", gone("ServiceAccount", "web"), "policies name callers that exist", "ServiceAccount shop/web"),
]  # fmt: skip


async def wrong(checked: Checked) -> dict[str, str]:
    rows = await checked(target="deploy/orders")
    return {row.sentence: row.error for row in rows if row.result != "success" and row.category in OWN}


OWN = ("mesh", "routes", "authorization")


async def test_healthy_passes(api: MeshApi, checked: Checked) -> None:
    workload(api)
    rows = await checked(target="deploy/orders")
    assert {row.category for row in rows} >= set(OWN)
    assert await wrong(checked) == {}
    assert "STRICT, by PeerAuthentication default" in {row.detail for row in rows}


@pytest.mark.parametrize(("breaking", "sentence", "words"), [s[1:] for s in STATES], ids=[s[0] for s in STATES])
async def test_broken_is_found(api: MeshApi, checked: Checked, breaking: Break, sentence: str, words: str) -> None:
    workload(api)
    breaking(api)
    told = await wrong(checked)
    assert list(told) == [sentence]
    assert words in told[sentence]


async def test_mtls_off_hides_callers(api: MeshApi, checked: Checked) -> None:
    """One cause, two effects: nobody has an identity, and callers speak what the workload does not."""
    workload(api)
    edit(*MODE, value="DISABLE")(api)
    told = await wrong(checked)
    assert sorted(told) == ["callers and workload agree on mutual TLS", "policies can tell who calls"]


async def test_narrowest_mode_holds(api: MeshApi, checked: Checked) -> None:
    workload(api)
    add("PeerAuthentication", "mesh", {"mtls": {"mode": "DISABLE"}}, "istio-system")(api)
    own = {"selector": {"matchLabels": {"app": "orders"}}, "mtls": {"mode": "PERMISSIVE"},
           "portLevelMtls": {"8080": {"mode": "STRICT"}}}  # fmt: skip
    add("PeerAuthentication", "own", own)(api)
    rows = await checked(target="deploy/orders")
    assert "PERMISSIVE, by PeerAuthentication own; port 8080 STRICT" in {row.detail for row in rows}


@pytest.mark.parametrize(
    ("host", "meant"),
    [
        ("orders", ("orders", "shop")),
        ("orders.other", ("orders", "other")),
        ("orders.other.svc.cluster.local", ("orders", "other")),
        ("api.example.com", None),
        ("*.shop.svc.cluster.local", None),
    ],
)
def test_hosts_are_services(host: str, meant: tuple[str, str] | None) -> None:
    assert istio_objects.service_of(host, "shop") == meant


def test_patterns_cover_services() -> None:
    assert istio_objects.covers("*.shop.svc.cluster.local", "orders", "shop")
    assert istio_objects.covers("*", "orders", "shop")
    assert not istio_objects.covers("*.other.svc.cluster.local", "orders", "shop")
