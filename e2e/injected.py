"""Workloads with what a mesh's injection adds: the nat rules of its init container, and a proxy in front of the app.

The rules are those that linkerd-init and istio-init write by default, word for word; the proxy is an Envoy in both cases.
What the app sends to a port of MESHED leaves as mutual TLS with the workload's certificate; its own port lets in nobody
without one, and the app is told whose it was (x-forwarded-client-cert). All else passes as it is, as with both meshes. The
proxy tells each connection, with where it was meant to go, as `WAY ADDRESS` in its log. For `test_meshed`.
"""

import json
from dataclasses import dataclass
from typing import Any

from e2e import manifests
from e2e.mesh.certs import Pair, issue

Object = dict[str, Any]

APP, APP_PROBE = 8080, 8090  # kubelet has no certificate: meshes keep probes apart by other means
MESHED = (80, APP)
_EXTENSIONS = "type.googleapis.com/envoy.extensions"
_TLS = f"{_EXTENSIONS}.transport_sockets.tls.v3"

_LINKERD = """\
*nat
-N PROXY_INIT_REDIRECT
-A PROXY_INIT_REDIRECT -p tcp --match multiport --dports 4190,4191,4567,4568 -j RETURN
-A PROXY_INIT_REDIRECT -p tcp -j REDIRECT --to-port 4143
-A PREROUTING -j PROXY_INIT_REDIRECT
-N PROXY_INIT_OUTPUT
-A PROXY_INIT_OUTPUT -m owner --uid-owner 2102 -j RETURN
-A PROXY_INIT_OUTPUT -o lo -j RETURN
-A PROXY_INIT_OUTPUT -p tcp --match multiport --dports 4567,4568 -j RETURN
-A PROXY_INIT_OUTPUT -p tcp -j REDIRECT --to-port 4140
-A OUTPUT -j PROXY_INIT_OUTPUT
COMMIT
"""
_ISTIO = """\
*nat
-N ISTIO_INBOUND
-N ISTIO_REDIRECT
-N ISTIO_IN_REDIRECT
-N ISTIO_OUTPUT
-A ISTIO_INBOUND -p tcp --dport 15008 -j RETURN
-A ISTIO_REDIRECT -p tcp -j REDIRECT --to-ports 15001
-A ISTIO_IN_REDIRECT -p tcp -j REDIRECT --to-ports 15006
-A PREROUTING -p tcp -j ISTIO_INBOUND
-A ISTIO_INBOUND -p tcp -m multiport --dports 15090,15021,15020 -j RETURN
-A ISTIO_INBOUND -p tcp -j ISTIO_IN_REDIRECT
-A OUTPUT -j ISTIO_OUTPUT
-A ISTIO_OUTPUT -o lo -s 127.0.0.6/32 -j RETURN
-A ISTIO_OUTPUT -o lo ! -d 127.0.0.1/32 -p tcp ! --dport 15008 -m owner --uid-owner 1337 -j ISTIO_IN_REDIRECT
-A ISTIO_OUTPUT -o lo -m owner ! --uid-owner 1337 -j RETURN
-A ISTIO_OUTPUT -m owner --uid-owner 1337 -j RETURN
-A ISTIO_OUTPUT -o lo ! -d 127.0.0.1/32 -p tcp ! --dport 15008 -m owner --gid-owner 1337 -j ISTIO_IN_REDIRECT
-A ISTIO_OUTPUT -o lo -m owner ! --gid-owner 1337 -j RETURN
-A ISTIO_OUTPUT -m owner --gid-owner 1337 -j RETURN
-A ISTIO_OUTPUT -d 127.0.0.1/32 -j RETURN
-A ISTIO_OUTPUT -p tcp -j ISTIO_REDIRECT
COMMIT
"""


@dataclass(frozen=True, slots=True)
class Mesh:
    """How one of them captures a pod's connections."""

    name: str
    rules: str
    user: int  # the proxy's, whose own connections are left alone
    inbound: int
    outbound: int
    admin: int  # reached past the rules, by the kubelet too
    native: bool  # the proxy is an init container that stays
    source: str = ""  # where the proxy calls the app from, when not from the pod's address


LINKERD = Mesh("linkerd", _LINKERD, 2102, 4143, 4140, 4191, native=True)
ISTIO = Mesh("istio", _ISTIO, 1337, 15006, 15001, 15021, native=False, source="127.0.0.6")


def meshed(name: str, mesh: Mesh, by: Pair, namespace: str, *, image: str, envoy: str, tools: str) -> list[Object]:
    """A Deployment of `identity`, its Service, and its proxy's settings with a certificate from `by`."""
    pair = issue(identity(name, namespace), by)
    settings = json.dumps(_config(mesh, pair, by))
    secret = {
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": f"{name}-proxy"}, "stringData": {"config": settings},
    }  # fmt: skip
    init = {
        "name": f"{mesh.name}-init", "image": tools, "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-ec", 'echo "$RULES" | iptables-restore --noflush'],
        "env": [{"name": "RULES", "value": mesh.rules}],
        "securityContext": {"runAsUser": 0, "capabilities": {"add": ["NET_ADMIN", "NET_RAW"]}},
    }  # fmt: skip
    ready = {"httpGet": {"path": "/ready", "port": mesh.admin}, "periodSeconds": 1, "failureThreshold": 60}
    source = {"secretKeyRef": {"name": f"{name}-proxy", "key": "config"}}
    proxy = {
        "name": f"{mesh.name}-proxy", "image": envoy, "imagePullPolicy": "IfNotPresent",
        "command": ["envoy", "--config-yaml", "$(CONFIG)", "--concurrency", "1", "--disable-hot-restart", "-l", "warning",
                    "--file-flush-interval-msec", "100"],
        "env": [{"name": "CONFIG", "valueFrom": source}],
        "securityContext": {"runAsUser": mesh.user, "runAsGroup": mesh.user},
        **({"restartPolicy": "Always", "startupProbe": ready} if mesh.native else {"readinessProbe": ready}),
    }  # fmt: skip
    app = {
        "name": "app", "image": image, "imagePullPolicy": "IfNotPresent", "ports": [{"containerPort": APP}],
        "command": ["python3", "-m", "e2e.programs.identity", "CLUSTER", str(APP), str(APP_PROBE)],
        "readinessProbe": {"httpGet": {"path": "/", "port": APP_PROBE}, "periodSeconds": 1},
        "securityContext": {"runAsUser": 1000},
    }  # fmt: skip
    containers = [app] if mesh.native else [app, proxy]
    pod = {"initContainers": [init, proxy] if mesh.native else [init], "terminationGracePeriodSeconds": 2}
    return [secret, manifests.deployment(*containers, name=name, pod=pod), manifests.service(name, APP, app=name)]


def identity(name: str, namespace: str) -> str:
    """Who a workload is in the mesh."""
    return f"spiffe://cluster.local/ns/{namespace}/sa/{name}"


def _config(mesh: Mesh, pair: Pair, by: Pair) -> Object:
    """The proxy's: two listeners where the rules lead, which learn from the kernel whom a connection was for."""
    keys = {
        "tls_certificates": [
            {"certificate_chain": {"inline_string": pair.pem}, "private_key": {"inline_string": pair.key}}
        ],
        "validation_context": {
            "trusted_ca": {"inline_string": by.pem},
            "match_typed_subject_alt_names": [{"san_type": "URI", "matcher": {"prefix": "spiffe://cluster.local/"}}],
        },
    }
    demanding = _typed(f"{_TLS}.DownstreamTlsContext", common_tls_context=keys, require_client_certificate=True)
    proving = _typed(f"{_TLS}.UpstreamTlsContext", common_tls_context=keys)
    own = {"upstream_bind_config": {"source_address": {"address": mesh.source, "port_value": 0}}} if mesh.source else {}
    inbound = [
        {
            "filter_chain_match": {"destination_port": APP}, "filters": [_http()],
            "transport_socket": {"name": "tls", "typed_config": demanding},
        }
    ]  # fmt: skip
    outbound = [
        {"filter_chain_match": {"destination_port": port}, "filters": [_tcp("mesh-out", "mesh")]} for port in MESHED
    ]
    return {
        "admin": {"address": _address(mesh.admin)},
        "static_resources": {
            "listeners": [
                _listener("inbound", mesh.inbound, inbound, _tcp("plain-in", "app")),
                _listener("outbound", mesh.outbound, outbound, _tcp("plain-out", "plain")),
            ],
            "clusters": [
                _cluster("app", **own),
                _cluster("mesh", transport_socket={"name": "tls", "typed_config": proving}),
                _cluster("plain"),
            ],
        },
    }


def _listener(name: str, port: int, chains: list[Object], other: Object) -> Object:
    asks = _typed(f"{_EXTENSIONS}.filters.listener.original_dst.v3.OriginalDst")
    return {
        "name": name, "address": _address(port), "listener_filters": [{"name": "original_dst", "typed_config": asks}],
        "filter_chains": chains, "default_filter_chain": {"filters": [other]},
    }  # fmt: skip


def _cluster(name: str, **more: Any) -> Object:
    """Whoever was meant."""
    return {"name": name, "type": "ORIGINAL_DST", "lb_policy": "CLUSTER_PROVIDED", "connect_timeout": "5s", **more}


def _http() -> Object:
    router = _typed(f"{_EXTENSIONS}.filters.http.router.v3.Router")
    routes = [{"match": {"prefix": "/"}, "route": {"cluster": "app"}}]
    manager = _typed(
        f"{_EXTENSIONS}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="mesh-in",
        access_log=[_told("mesh-in")],
        forward_client_cert_details="SANITIZE_SET",
        set_current_client_cert_details={"uri": True},
        route_config={"virtual_hosts": [{"name": "app", "domains": ["*"], "routes": routes}]},
        http_filters=[{"name": "router", "typed_config": router}],
    )
    return {"name": "http", "typed_config": manager}


def _tcp(way: str, cluster: str) -> Object:
    proxy = _typed(
        f"{_EXTENSIONS}.filters.network.tcp_proxy.v3.TcpProxy",
        stat_prefix=way,
        cluster=cluster,
        access_log=[_told(way)],
        access_log_options={"flush_access_log_on_connected": True},  # not only when it ends
    )
    return {"name": "tcp", "typed_config": proxy}


def _told(way: str) -> Object:
    line = {"text_format_source": {"inline_string": f"{way} %DOWNSTREAM_LOCAL_ADDRESS%\n"}}
    return {
        "name": "log",
        "typed_config": _typed(f"{_EXTENSIONS}.access_loggers.stream.v3.StdoutAccessLog", log_format=line),
    }


def _typed(kind: str, /, **fields: Any) -> Object:
    return {"@type": kind, **fields}


def _address(port: int) -> Object:
    return {"socket_address": {"address": "0.0.0.0", "port_value": port}}
