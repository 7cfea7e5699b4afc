"""Whether Services lead to the intercepted ports."""

from __future__ import annotations

from typing import Any

from interceptor.workload.services import judge

Object = dict[str, Any]

POD = {
    "metadata": {"name": "orders-1", "labels": {"app": "orders"}},
    "spec": {"containers": [{"name": "app", "ports": [{"name": "http", "containerPort": 8080}]}]},
}


def service(target: int | str = 8080, name: str = "orders", **selector: str) -> Object:
    spec = {"selector": selector or {"app": "orders"}, "ports": [{"port": 80, "targetPort": target}]}
    return {"metadata": {"name": name, "namespace": "shop"}, "spec": spec}


def endpoints(*ready: bool, port: int = 8080, of: str = "orders") -> Object:
    entries = [{"addresses": [f"10.0.0.{n}"], "conditions": {"ready": one}} for n, one in enumerate(ready)]
    labels = {"kubernetes.io/service-name": of}
    return {"metadata": {"labels": labels}, "ports": [{"port": port}], "endpoints": entries}


def words(*services: Object, slices: tuple[Object, ...] = ()) -> list[tuple[bool, str]]:
    return [(found.ok, found.text) for found in judge("orders", [POD], [8080], services, slices)]


def test_ready_endpoints_are_counted() -> None:
    found = words(service(), slices=(endpoints(True, False), endpoints(True, of="other"), endpoints(True, port=9090)))
    assert found == [(True, "service orders: port 80 sends to 8080, 1 ready endpoint")]


def test_port_names_are_the_pods() -> None:
    assert words(service("http"), slices=(endpoints(True, True),))[0][0]
    assert words(service("web")) == [
        (False, "service orders: port 80 sends to 'web', but no container has a port of that name")
    ]


def test_missing_endpoints_fail() -> None:
    assert words(service(), slices=(endpoints(False),)) == [
        (False, "service orders: port 80 sends to 8080, but has no ready endpoint")
    ]


def test_other_port_fails_alone() -> None:
    """A second Service to another port is the user's own choice; if it is the only way in, the choice is a mistake."""
    other = "service admin: port 80 sends to 9090, which is not intercepted"
    both = words(service(), service(9090, "admin"), slices=(endpoints(True),))
    assert both[1] == (True, other)
    assert words(service(9090, "admin")) == [(False, f"no Service sends to the intercepted port 8080: {other}")]


def test_selector_that_misses_is_named() -> None:
    assert words(service(app="orders", tier="web")) == [
        (False, "service orders selects tier=web, the pods have no such label")
    ]
    assert words(service(name="unrelated", app="x"))[0] == (
        True,
        "no Service selects its pods; callers use their addresses",
    )
