"""Which ports are served, from what was typed and what there is."""

from __future__ import annotations

from typing import Any

import pytest

from interceptor.errors import InterceptorError, UsageError
from interceptor.workload.ports import PortMap, choose_ports, free_ports


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


def test_sctp_is_refused() -> None:
    signals = {"name": "m3ua", "containerPort": 2905, "protocol": "SCTP"}
    with pytest.raises(InterceptorError, match="port m3ua is SCTP, and only TCP and UDP"):
        choose_ports(("m3ua",), deployment(signals, HTTP), "app", [])
    with pytest.raises(UsageError, match="declares no port"):
        choose_ports((), deployment(signals), "app", [])


DNS = {"name": "dns", "containerPort": 53, "protocol": "UDP"}


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ((), [(8080, "TCP"), (53, "UDP")]),
        (("5353:dns",), [(5353, "UDP")]),
        (("http",), [(8080, "TCP")]),
        (("53", "8080"), [(8080, "TCP"), (53, "UDP")]),
    ],
)
def test_udp_is_chosen_alike(typed: tuple[str, ...], expected: list[tuple[int, str]]) -> None:
    assert [(port.local, port.protocol) for port in choose_ports(typed, deployment(DNS, HTTP), "app", [])] == expected


def test_udp_is_aimed_at() -> None:
    aimed = service({"port": 53, "targetPort": 5353, "protocol": "UDP"})
    assert choose_ports((), deployment(), "app", [aimed]) == (PortMap(5353, 5353, "", "UDP"),)
    assert choose_ports((), deployment(HTTP), "app", [aimed]) == (
        PortMap(8080, 8080, "http"),
        PortMap(5353, 5353, "", "UDP"),
    )


@pytest.mark.parametrize(("typed", "local"), [((), 53), (("53",), 53), (("1053:53",), 1053)])
def test_one_number_brings_both(typed: tuple[str, ...], local: int) -> None:
    both = deployment({"containerPort": 53, "protocol": "UDP"}, {"containerPort": 53, "protocol": "TCP"})
    assert choose_ports(typed, both, "app", []) == (PortMap(local, 53, ""), PortMap(local, 53, "", "UDP"))


@pytest.mark.parametrize("typed", ["", "x:80", "0:80", "80:", "99999:80"])
def test_nonsense_is_refused(typed: str) -> None:
    with pytest.raises(UsageError):
        choose_ports((typed,), deployment(HTTP), "app", [])


def test_port_named_twice() -> None:
    with pytest.raises(UsageError, match="named twice"):
        choose_ports(("8080", "1:http"), deployment(HTTP), "app", [])
    with pytest.raises(UsageError, match="named twice"):
        choose_ports(("dns", "1:53"), deployment(DNS), "app", [])


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
