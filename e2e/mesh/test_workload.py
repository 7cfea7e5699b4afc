"""What can be wrong with one workload and its neighbours, one thing at a time."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from e2e.mesh import certs
from e2e.mesh.breaking import State, expect, parameters
from e2e.mesh.installation import OLD_VERSION, PROXY_IMAGE, service
from e2e.mesh.states import Mesh, wrong
from interceptor.kube import Resource
from interceptor.kube.resources import DEPLOYMENTS, ENDPOINT_SLICES, EVENTS, SERVICES
from interceptor.mesh.check.workload.authorization import AUTHORIZATION_POLICIES
from interceptor.mesh.check.workload.network import POLICIES
from interceptor.mesh.check.workload.routing import GATEWAY_ROUTES, POLICY_ROUTES, SERVERS, SERVICE_PROFILES

Object = dict[str, Any]

ORDERS = "deploy/orders"
RUNNING, READY, ROLLED = "pods are running", "pods are ready", "the rollout is complete"
RESTARTS, LISTENING, QUIET = (
    "containers have not restarted lately",
    "the app listens where callers arrive",
    "no warnings in the events",
)
PROBES, SELECTED, PORTS = (
    "probes lead to ports of the container",
    "a Service sends to it",
    "Services lead to ports that the pods have",
)
ENDPOINTS = "endpoints are ready"
IN, OUT = "no NetworkPolicy keeps callers out", "no NetworkPolicy keeps it from DNS and its control plane"
MESHED, SETTINGS = "pods have the proxy they should have", "the mesh's settings do what they seem to"
UNDISTURBED, COVERING = "no ServiceProfile disables an HTTPRoute", "HTTPRoutes have a catch-all"
SHADOWED, BACKED, PROBED = (
    "no route shadows another",
    "routes lead to Services that exist",
    "no HTTPRoute takes the probes' route away",
)
LET_IN, DEFAULT, COMPLETE = (
    "Servers let somebody in",
    "the default policy lets callers in",
    "policies refer to what exists",
)
CALLERS, FOLLOW = "its callers' proxies reach the control plane", "its callers follow the Service's present port"


def now(**ago: float) -> str:
    return (datetime.datetime.now(datetime.UTC) - datetime.timedelta(**ago)).strftime("%Y-%m-%dT%H:%M:%SZ")


# --- pods ---


def ghost(status: Object | None = None, **wishes: Any) -> Any:
    """One more pod of `orders`, in whatever state."""

    async def change(mesh: Mesh) -> None:
        await mesh.ghost("orders-ghost", status=status, labels={"app": "orders"}, **wishes)

    return change


def app_state(**state: Any) -> Object:
    return {"name": "app", "image": "app", "imageID": "", "ready": False, "restartCount": 0, **state}


UNREADY: Object = {"conditions": [{"type": "Ready", "status": "False"}],
                   "containerStatuses": [app_state(state={"running": {}})]}  # fmt: skip
PULLING: Object = {"phase": "Pending", "conditions": [], "containerStatuses": [
    app_state(state={"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}})]}  # fmt: skip


async def unready_with_words(mesh: Mesh) -> None:
    await ghost(UNREADY)(mesh)
    pods = await mesh.pods("orders")
    pod = next(item for item in pods if item["metadata"]["name"] == "orders-ghost")
    reference = {"kind": "Pod", "namespace": mesh.data, "name": "orders-ghost", "uid": pod["metadata"]["uid"]}
    event = {"metadata": {"name": "unhealthy"}, "involvedObject": reference, "type": "Normal", "reason": "Unhealthy",
             "message": "Readiness probe failed: HTTP probe failed with statuscode: 500", "lastTimestamp": now()}  # fmt: skip
    await mesh.create(EVENTS, mesh.data, event)


async def unready_endpoint(mesh: Mesh) -> None:
    slice_ = {
        "metadata": {"name": "orders-more", "labels": {"kubernetes.io/service-name": "orders"}},
        "addressType": "IPv4", "ports": [{"name": "http", "port": 8080}],
        "endpoints": [{"addresses": ["10.244.250.9"], "conditions": {"ready": False},
                       "targetRef": {"kind": "Pod", "name": "orders-slow", "namespace": mesh.data}}],
    }  # fmt: skip
    await mesh.create(ENDPOINT_SLICES, mesh.data, slice_)


async def killed(mesh: Mesh) -> None:
    ended = {"exitCode": 137, "reason": "OOMKilled", "finishedAt": now(minutes=5), "startedAt": now(minutes=9)}
    state = app_state(state={"running": {}}, ready=True, restartCount=3, lastState={"terminated": ended}, started=True)
    await ghost({"containerStatuses": [state]})(mesh)


async def warned(mesh: Mesh, kind: str = "Deployment", version: str = "apps/v1") -> None:
    reference = {"kind": kind, "namespace": mesh.data, "name": "orders", "apiVersion": version}
    event = {"metadata": {"name": "warned"}, "involvedObject": reference, "type": "Warning", "reason": "Strange",
             "message": "something odd", "lastTimestamp": now(minutes=1)}  # fmt: skip
    await mesh.create(EVENTS, mesh.data, event)


def odd(template: Object | None = None, selector: Object | None = None, port: Any = 8080, **container: Any) -> Any:
    """A Deployment `odd` without a pod but a ghost of one, and perhaps a Service."""

    async def change(mesh: Mesh) -> None:
        app = {**mesh.installed.app(), **container}
        body = mesh.installed.deployment("odd", app, replicas=0)
        annotations = body["spec"]["template"]["metadata"]["annotations"]
        annotations.update(template or {})
        await mesh.create(DEPLOYMENTS, mesh.data, body)
        if selector is not None:
            made = service("odd", 80, port)
            made["spec"]["selector"] = selector
            await mesh.create(SERVICES, mesh.data, made)
        await mesh.ghost("odd-ghost", labels={"app": "odd"})

    return change


def running(*command: str, replicas: int = 1, ports: tuple[int, ...] = (8080,), **spec: Any) -> Any:
    """A Deployment `odd` outside of the mesh, for real."""

    async def change(mesh: Mesh) -> None:
        declared = [{"containerPort": port} for port in ports]
        app = {**mesh.installed.app(), "ports": declared, **spec.pop("app", {})}
        app.pop("readinessProbe")
        if command:
            app["command"] = list(command)
        body = mesh.installed.deployment("odd", app, replicas=replicas)
        body["spec"].update(spec.pop("deployment", {}))
        pod = body["spec"]["template"]
        pod["metadata"] = {"labels": {"app": "odd"}, "annotations": {"linkerd.io/inject": "disabled"}}
        pod["spec"] = {"containers": [app], "terminationGracePeriodSeconds": 0, **spec}
        await mesh.create(DEPLOYMENTS, mesh.data, body)

    return change


async def loopback_only(mesh: Mesh) -> None:
    await running("python3", "-m", "http.server", "8080", "--bind", "127.0.0.1")(mesh)
    await mesh.until_ready("odd", count=1)
    await wait_until_listening(mesh)


async def wait_until_listening(mesh: Mesh) -> None:
    async def told() -> bool:
        (pod,) = await mesh.pods("odd")
        command = ["grep", "-c", ":1F90 00000000:0000 0A", "/proc/net/tcp"]
        return (await mesh.cluster.exec(mesh.data, pod["metadata"]["name"], "app", command)).stdout.strip() != b"0"

    await mesh.until(told)


async def mute(mesh: Mesh) -> None:
    await running(ports=(9999,))(mesh)
    await mesh.until_ready("odd", count=1)


async def stuck(mesh: Mesh) -> None:
    await running(
        app={"image": "none.invalid/none:1", "imagePullPolicy": "Never"}, deployment={"progressDeadlineSeconds": 1}
    )(mesh)

    async def told() -> bool:
        found = await mesh.cluster.get(DEPLOYMENTS, mesh.data, "odd")
        pods = await mesh.pods("odd")
        waits = any("containerStatuses" in pod["status"] for pod in pods)
        return waits and "ProgressDeadlineExceeded" in str(found["status"]) and "ErrImageNeverPull" in str(pods)

    await mesh.until(told)


async def forbidden_pods(mesh: Mesh) -> None:
    await running(serviceAccountName="nobody")(mesh)

    async def told() -> bool:
        found = await mesh.cluster.get(DEPLOYMENTS, mesh.data, "odd")
        return "ReplicaFailure" in str(found["status"])

    await mesh.until(told)


# --- Services and network ---


def created(resource: Resource, name: str, spec: Object, **metadata: Any) -> Any:
    async def change(mesh: Mesh) -> None:
        filled = {"metadata": {"name": name.format(mesh.data), **metadata}, "spec": spec}
        await mesh.create(resource, mesh.data, filled)

    return change


def together(*changes: Any) -> Any:
    async def change(mesh: Mesh) -> None:
        for one in changes:
            await one(mesh)

    return change


def leading_to(port: Any) -> Any:
    async def change(mesh: Mesh) -> None:
        await mesh.create(SERVICES, mesh.data, service("other", 80, port, "orders"))

        async def told() -> bool:
            labels = "kubernetes.io/service-name=other"
            slices = (await mesh.cluster.list(ENDPOINT_SLICES, mesh.data, label_selector=labels)).items
            return any(item.get("endpoints") for item in slices)

        await mesh.until(told)

    return change


def policy(**spec: Any) -> Any:
    return created(POLICIES, "strict", {"podSelector": {"matchLabels": {"app": "orders"}}, **spec})


DNS = {"ports": [{"port": 53, "protocol": "UDP"}]}


# --- the mesh ---


def showing(**wishes: Any) -> Any:
    async def change(mesh: Mesh) -> None:
        pair = mesh.installed.proxy_certificate(mesh.data, **wishes)
        await mesh.proxies("orders", {"certificate": pair.pem, "key": pair.key})

    return change


LOST = 'control_destination_balancer_endpoints{endpoint_state="ready",addr="linkerd-dst"} 0\n'
CONTROL = ["control_destination_balancer_endpoints"]


def connection(mesh: Mesh, address: str, port: int) -> str:
    return (
        f'tcp_open_connections{{direction="outbound",peer="dst",target_ip="{address}",target_port="{port}",'
        f'dst_namespace="{mesh.data}",dst_service="orders",note="GET /books/{{id}}"}} 1\n'
    )


def caller(address: str | None = None, port: int = 8080, *, control: bool = True) -> Any:
    """What the client's proxy knows of `orders`: nothing, its pods, or an address of before."""

    async def change(mesh: Mesh) -> None:
        more = "" if control else LOST
        if address is not None:
            pods = await mesh.pods("orders")
            for pod in pods if address == "present" else pods[:1]:
                more += connection(mesh, pod["status"]["podIP"] if address == "present" else address, port)
        await mesh.proxies("client", {"without": [] if control else CONTROL, "more": more})

    return change


async def own_control_lost(mesh: Mesh) -> None:
    await mesh.proxies("orders", {"without": CONTROL, "more": LOST})


def parent(kind: str = "Service", group: str = "", name: str = "orders", **more: Any) -> Object:
    return {"kind": kind, "group": group, "name": name, **more}


def route(
    name: str, *paths: str, to: Object | None = None, resource: Resource = GATEWAY_ROUTES, backend: str = ""
) -> Any:
    rule: Object = {"matches": [{"path": {"type": "PathPrefix", "value": path}} for path in paths]}
    if backend:
        rule["backendRefs"] = [{"name": backend, "port": 80}]
    return created(resource, name, {"parentRefs": [to or parent()], "rules": [rule]})


PROFILE = created(SERVICE_PROFILES, "orders.{}.svc.cluster.local", {"routes": [{"name": "GET /", "condition": {}}]})
SERVER = created(SERVERS, "orders-http", {"podSelector": {"matchLabels": {"app": "orders"}}, "port": "http"})
ON_SERVER = parent("Server", "policy.linkerd.io", "orders-http")


def authorized(network: str = "") -> Any:
    target = {"group": "policy.linkerd.io", "kind": "Server", "name": "orders-http"}
    references = [{"group": "policy.linkerd.io", "kind": "NetworkAuthentication", "name": network}] if network else []
    return created(AUTHORIZATION_POLICIES, "anybody", {"targetRef": target, "requiredAuthenticationRefs": references})


STATES = [
    State("image not pulled", ghost(PULLING), {RUNNING: "* orders-ghost: ImagePullBackOff: no such image"}),
    State("unready", unready_with_words, {READY: "* orders-ghost: container app: Readiness probe failed: HTTP"}),
    State("endpoint unready", unready_endpoint, {ENDPOINTS: "* service orders: not ready: orders-slow"}),
    State("killed for memory", killed, {RESTARTS: "container app: 3 restarts, last OOMKilled (exit status 137)"}, warning=True),
    State("warned", warned, {QUIET: "* orders: Strange: something odd"}, warning=True),
    State("denied by network", policy(policyTypes=["Ingress"]), {IN: "nobody may reach port 8080: NetworkPolicy strict"}),
    State("another port allowed", policy(ingress=[{"ports": [{"port": 9090}]}]), {IN: "nobody may reach port 8080"}),
    State("no dns", policy(policyTypes=["Egress"], egress=[{"ports": [{"port": 8000, "endPort": 8100}]}]), {OUT: "* DNS, port 53"}),
    State("no way to the control plane", policy(policyTypes=["Egress"], egress=[DNS]), {OUT: "control plane, port 8086, 8090, 8080"}),
    State("named port misses", leading_to("web"), {PORTS: "* service other port 80: no port named 'web'"}, warning=None),
    State("pod without proxy", ghost(proxied=False), {MESHED: "* orders-ghost"}),
    State("pod on the host's network", ghost(proxied=False, hostNetwork=True), {MESHED: "orders-ghost: it uses the host's"}),
    State("proxy unready", ghost({**UNREADY, "initContainerStatuses": [{**app_state(state={"running": {}}, started=True),
          "name": "linkerd-proxy"}]}), {READY: "orders-ghost", "its proxies are ready": "* orders-ghost"}),
    State("proxy outdated", ghost(image=f"{PROXY_IMAGE}:{OLD_VERSION}"),
          {"its proxies are up-to-date": f"* orders-ghost ({OLD_VERSION})"}, warning=True),
    State("proxy with old anchors", ghost(anchors=certs.authority().pem), {"its proxies trust the current anchors": "* orders-ghost"}),
    State("proxy's certificate expired", showing(begin=-2, end=-1),
          {"its proxies show a valid certificate": "its certificate is not valid anymore"}),
    State("proxies lost control", own_control_lost, {"its proxies reach the control plane": "no endpoint of destination"}),
    State("caller goes on from its cache", caller("present", control=False), {CALLERS: "its calls work, from what it was told"}),
    State("caller hangs", caller(control=False), {CALLERS: "its calls hang"}),
    State("caller sees replaced pods", caller("10.244.251.1", control=False), {CALLERS: "its calls answer 503 at once"}),
    State("caller on an old port", caller("present", 7070), {FOLLOW: "still sends to port 7070"}),
    State("profile disables route", together(PROFILE, route("all", "/")),
          {UNDISTURBED: "svc.cluster.local disables HTTPRoute all"}),
    State("no catch-all", route("books", "/books"), {COVERING: "* service orders port 80: only /books*"}),
    State("route shadowed", together(route("a", "/"), route("b", "/", resource=POLICY_ROUTES)),
          {SHADOWED: "shadows HTTPRoute"}, warning=True),
    State("backend missing", route("all", "/", backend="nowhere"), {BACKED: "* HTTPRoute all: service nowhere"}),
    State("probe's route taken", together(SERVER, route("api", "/api", to=ON_SERVER), authorized()),
          {PROBED: "* readinessProbe of container app: GET /, by HTTPRoute api on server orders-http"}),
    State("server lets nobody in", SERVER, {LET_IN: "* server orders-http, port http"}),
    State("denied by default", ghost(policy="deny"), {DEFAULT: "the default policy of orders-ghost is deny, and no Server covers port 8080"}),
    State("authentication missing", together(SERVER, authorized("nets")),
          {COMPLETE: "* AuthorizationPolicy anybody: NetworkAuthentication nets"}),
]  # fmt: skip

ODD = [
    State("scaled to nothing", running(replicas=0), {RUNNING: "deploy/odd is scaled to 0"}),
    State("probe without port", odd(readinessProbe={"httpGet": {"path": "/", "port": "web"}}),
          {PROBES: "* readinessProbe of container app: it has no port named 'web'"}),
    State("selector misses", odd(selector={"app": "odd", "tier": "web"}), {SELECTED: "the pods have app=odd,tier=(none)"}),
    State("misspelt", odd({"linkerd.io/inject": "on"}), {SETTINGS: 'linkerd.io/inject: "on" means nothing'}, warning=True),
    State("on loopback only", loopback_only, {LISTENING: "the app listens on 127.0.0.1 only: port 8080"}),
    State("nothing listens", mute, {LISTENING: "nothing listens on port 9999"}),
    State("rollout stuck", stuck, {RUNNING: "ErrImageNeverPull", ROLLED: "its last rollout is stuck", QUIET: "ErrImageNeverPull"},
          warning=None),
    State("pods refused", forbidden_pods, {RUNNING: "deploy/odd has no pods", ROLLED: "its pods can't be created"}),
]  # fmt: skip


async def test_healthy_passes_all(mesh: Mesh) -> None:
    """Also where two controllers wrote the endpoints of its Service at once, as they do on a busy cluster."""
    await warned(mesh, "Endpoints", "v1")
    rows = await mesh.check(ORDERS)
    assert wrong(rows) == {}
    assert {row.category for row in rows} >= {"workload", "services", "mesh"}


@parameters(STATES)
async def test_is_found(mesh: Mesh, state: State) -> None:
    await expect(mesh, State(state.name, state.breaking, state.found, state.warning, ORDERS, state.options))


@parameters(ODD)
async def test_oddity_is_found(mesh: Mesh, state: State) -> None:
    await expect(mesh, State(state.name, state.breaking, state.found, state.warning, "deploy/odd", state.options))


async def test_findings_say_what_next(mesh: Mesh) -> None:
    await mesh.ghost("orders-ghost", proxied=False, labels={"app": "orders"})
    (row,) = [row for row in await mesh.check(ORDERS) if row.result != "success"]
    assert row.why
    assert row.next == f"kubectl rollout restart deploy/orders -n {mesh.data}"


async def test_routes_in_force_are_named(mesh: Mesh) -> None:
    await route("all", "/")(mesh)
    rows = await mesh.check(ORDERS)
    assert wrong(rows) == {}
    assert [row.detail for row in rows if row.sentence == "routes are in force"] == ["HTTPRoute all"]


async def test_probe_route_may_be_covered(mesh: Mesh) -> None:
    await together(SERVER, authorized(), route("api", "/", to=ON_SERVER))(mesh)
    assert wrong(await mesh.check(ORDERS)) == {}


@pytest.mark.parametrize("target", ["svc/orders", "orders"])
async def test_service_stands_for_its_workload(mesh: Mesh, target: str) -> None:
    assert wrong(await mesh.check(target)) == {}
