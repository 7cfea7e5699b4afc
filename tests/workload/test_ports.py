"""Which ports are served, from what was typed and what there is."""

from __future__ import annotations

from typing import Any

import pytest

from interceptor.errors import InterceptorError, UsageError
from interceptor.workload.ports import PortMap, choose_datagrams, choose_ports, free_ports


def deployment(*ports: dict[str, Any], others: tuple[dict[str, Any], ...] = ()) -> dict[str, Any]:
    containers = [{"name": "app", "ports": list(ports)}, *others]
    return {
        "kind": "Deployment",
        "metadata": {"name": "orders"},
        "spec": {"template": {"metadata": {"labels": {"app": "orders"}}, "spec": {"containers": containers}}},
    }


def service(*ports: dict[str, Any], app: str = "orders") -> dict[str, Any]:
    return {"spec": {"selector": {"app": app}, "ports": list(ports)}}


HTTP = {"name": "http", "containerPort": 8080, "protocol": "TCP"}
GRPC = {"name": "grpc", "containerPort": 9000}


def test_containers_ports_by_default() -> None:
    aimed = service({"port": 80, "targetPort": 7000})
    assert choose_ports((), deployment(HTTP, GRPC), "app", [aimed]) == (
        PortMap(8080, 8080, "http"),
        PortMap(9000, 9000, "grpc"),
    )


def test_services_aim_where_none_is_declared() -> None:
    services = [
        service({"port": 80, "targetPort": 8080}),
        service({"port": 81, "targetPort": 8080}),
        service({"port": 90}),
    ]
    assert choose_ports((), deployment(), "app", services) == (PortMap(8080, 8080, ""), PortMap(90, 90, ""))


def test_other_services_do_not_count() -> None:
    with pytest.raises(UsageError, match="declares no port and no Service aims"):
        choose_ports((), deployment(), "app", [service({"port": 80}, app="web"), {"spec": {"ports": [{"port": 1}]}}])


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("8080", PortMap(8080, 8080, "http")),
        ("http", PortMap(8080, 8080, "http")),
        ("3000:8080", PortMap(3000, 8080, "http")),
        ("3000:grpc", PortMap(3000, 9000, "grpc")),
        ("7000", PortMap(7000, 7000, "")),
    ],
)
def test_typed_ports(typed: str, expected: PortMap) -> None:
    aimed = service({"port": 80, "targetPort": 7000})
    assert choose_ports((typed,), deployment(HTTP, GRPC), "app", [aimed]) == (expected,)


def test_unknown_port_lists_what_there_is() -> None:
    with pytest.raises(InterceptorError, match=r"no port 8081; it has: 8080 \(http\), 9000 \(grpc\)"):
        choose_ports(("8081",), deployment(HTTP, GRPC), "app", [])


def test_any_number_where_nothing_is_known() -> None:
    assert choose_ports(("8081",), deployment(), "app", []) == (PortMap(8081, 8081, ""),)


def test_name_needs_a_declaration() -> None:
    with pytest.raises(InterceptorError, match="no port web; it has: none"):
        choose_ports(("web",), deployment(), "app", [])


def test_neighbours_port_is_named() -> None:
    sidecar = {"name": "metrics", "ports": [{"containerPort": 9100}]}
    with pytest.raises(InterceptorError, match="belongs to container metrics; add -c metrics"):
        choose_ports(("9100",), deployment(HTTP, others=(sidecar,)), "app", [])


def test_udp_is_refused() -> None:
    dns = {"name": "dns", "containerPort": 53, "protocol": "UDP"}
    with pytest.raises(InterceptorError, match="port dns is UDP"):
        choose_ports(("dns",), deployment(dns, HTTP), "app", [])
    with pytest.raises(InterceptorError, match="only UDP"):
        choose_ports((), deployment(dns), "app", [])


DNS = {"name": "dns", "containerPort": 53, "protocol": "UDP"}


@pytest.mark.parametrize(
    ("typed", "tcp", "udp"),
    [
        ((), [8080], [53]),
        (("5353:dns",), [], [5353]),
        (("http",), [8080], []),
        (("8080", "53"), [8080], [53]),
    ],
)
def test_datagrams_are_chosen_alike(typed: tuple[str, ...], tcp: list[int], udp: list[int]) -> None:
    orders = deployment(DNS, HTTP)
    assert [port.local for port in choose_ports(typed, orders, "app", [], datagrams=bool(udp))] == tcp
    assert [port.local for port in choose_datagrams(typed, orders, "app", [])] == udp


def test_datagrams_are_aimed_at() -> None:
    aimed = service({"port": 53, "targetPort": 5353, "protocol": "UDP"})
    assert choose_datagrams((), deployment(), "app", [aimed]) == (PortMap(5353, 5353, ""),)
    assert choose_ports((), deployment(), "app", [aimed], datagrams=True) == ()


def test_one_number_brings_both() -> None:
    both = deployment({"containerPort": 53, "protocol": "UDP"}, {"containerPort": 53, "protocol": "TCP"})
    assert choose_ports(("1053:53",), both, "app", [], datagrams=True) == (PortMap(1053, 53, ""),)
    assert choose_datagrams(("1053:53",), both, "app", []) == (PortMap(1053, 53, ""),)


def test_same_number_tcp_and_udp() -> None:
    both = deployment({"containerPort": 53, "protocol": "UDP"}, {"containerPort": 53, "protocol": "TCP"})
    assert choose_ports((), both, "app", []) == (PortMap(53, 53, ""),)


@pytest.mark.parametrize("typed", ["", "x:80", "0:80", "80:", "99999:80"])
def test_nonsense_is_refused(typed: str) -> None:
    with pytest.raises(UsageError):
        choose_ports((typed,), deployment(HTTP), "app", [])


def test_port_named_twice() -> None:
    with pytest.raises(UsageError, match="named twice"):
        choose_ports(("8080", "1:http"), deployment(HTTP), "app", [])


def test_agent_avoids_the_pods_ports() -> None:
    taken = deployment({"containerPort": 47811}, others=({"name": "b", "ports": [{"containerPort": 47813}]},))
    assert free_ports(taken, 2) == (47812, 47814)


def test_sidecars_ports_are_taken() -> None:
    """A native sidecar is an init container that goes on; other init containers have ended."""
    found = deployment(HTTP)
    found["spec"]["template"]["spec"]["initContainers"] = [
        {"name": "proxy", "restartPolicy": "Always", "ports": [{"containerPort": 47811}, {"containerPort": 9}]},
        {"name": "migrate", "ports": [{"containerPort": 47812}]},
    ]
    assert free_ports(found, 2) == (47812, 47813)
    with pytest.raises(InterceptorError, match="port 9 belongs to container proxy"):
        choose_ports(("9",), found, "app", [])
