"""What can be wrong with the proxies beside the apps and with what their pods and Services say, one thing at a time."""

from __future__ import annotations

from typing import Any

from e2e.mesh import certs
from e2e.mesh.breaking import State, expect, parameters
from e2e.mesh.installation import OLD_VERSION, PROXY_IMAGE, VERSION, service
from e2e.mesh.states import Mesh, wrong
from interceptor.kube.resources import CONFIGMAPS, PODS, SERVICES

PROXY: dict[str, Any] = {"proxy": True}
OPAQUE = "config.linkerd.io/opaque-ports"


async def stale(mesh: Mesh) -> None:
    await mesh.ghost("stale", anchors=certs.authority().pem)


async def rotated(mesh: Mesh) -> None:
    bundle = mesh.installed.anchor.pem + certs.authority().pem
    await mesh.patch(CONFIGMAPS, mesh.control, "linkerd-identity-trust-roots", {"data": {"ca-bundle.crt": bundle}})


async def unready(mesh: Mesh) -> None:
    mesh.undo.push_async_callback(mesh.until_ready, "client")
    await mesh.proxies("client", {"ready": 503})
    await mesh.until_ready("client", ready=False)


async def starting(mesh: Mesh) -> None:
    waiting = {"name": "linkerd-proxy", "image": "x", "imageID": "", "ready": False, "restartCount": 0, "started": False,
               "state": {"waiting": {"reason": "CrashLoopBackOff"}}}  # fmt: skip
    await mesh.ghost("starting", status={"phase": "Pending", "initContainerStatuses": [waiting], "conditions": []})


async def outdated(mesh: Mesh) -> None:
    await mesh.ghost("old", image=f"{PROXY_IMAGE}:{OLD_VERSION}")


async def old_from_a_digest(mesh: Mesh) -> None:
    image = f"{PROXY_IMAGE}@sha256:{'0' * 64}"
    await mesh.ghost("old", image=image, annotations={"linkerd.io/proxy-version": OLD_VERSION})


def labelled(key: str) -> Any:
    async def change(mesh: Mesh) -> None:
        (pod,) = await mesh.pods("client")
        await mesh.patch(PODS, mesh.data, pod["metadata"]["name"], {"metadata": {"labels": {key: "x"}}})

    return change


def on_service(where: str, key: str, value: str) -> Any:
    async def change(mesh: Mesh) -> None:
        await mesh.patch(SERVICES, mesh.data, "orders", {"metadata": {where: {key: value}}})

    return change


async def opaque_on_pods(mesh: Mesh) -> None:
    await mesh.ghost("opaque", labels={"app": "orders"}, annotations={OPAQUE: "8080"})


async def opaque_by_name(mesh: Mesh) -> None:
    await mesh.create(SERVICES, mesh.data, service("named", 8888, "http", "ghost"))
    await mesh.ghost("opaque", annotations={OPAQUE: "8080"})


async def opaque_range_on_pods(mesh: Mesh) -> None:
    await mesh.ghost("opaque", labels={"app": "orders"}, annotations={OPAQUE: "8000-8100"})


VERSIONS = {
    "data plane is up-to-date": f"some proxies are not running the current version:\n\t* old ({OLD_VERSION})",
    "data plane and cli versions match": f"old running {OLD_VERSION} but cli running {VERSION}",
}
READY = "data plane proxies are ready"
ANCHORS = "data plane proxies certificate match CA"
RESTART = "Some pods do not have the current trust bundle and must be restarted:\n\t* "
PORTS = "opaque ports are properly annotated"

STATES = [
    State("proxy with old anchors", stale, {ANCHORS: f"{RESTART}stale"}, warning=True),
    State("anchors rotated", rotated, {ANCHORS: f"{RESTART}client-"}, warning=True),
    State("proxy unready", unready, {READY: '" status is Running'}),
    State("proxy crashing", starting, {READY: 'pod "starting" status is Pending'}),
    State("proxy outdated", outdated, VERSIONS, warning=True),
    State("proxy outdated by digest", old_from_a_digest, VERSIONS, warning=True),
    State("pod label", labelled("config.linkerd.io/proxy-log-level"),
          {"data plane pod labels are configured correctly": "\n\t\tconfig.linkerd.io/proxy-log-level"}, warning=True),
    State("inject label", labelled("linkerd.io/inject"),
          {"data plane pod labels are configured correctly": "\n\t\tlinkerd.io/inject"}, warning=True),
    State("service label", on_service("labels", OPAQUE, "8080"),
          {"data plane service labels are configured correctly": f"/orders\n\t\t{OPAQUE}"}, warning=True),
    State("service annotation", on_service("annotations", "mirror.linkerd.io/exported", "true"),
          {"data plane service annotations are configured correctly": "/orders\n\t\tmirror.linkerd.io/exported"}, warning=True),
    State("opaque on service only", on_service("annotations", OPAQUE, "80"),
          {PORTS: "\t* service orders expects target port 8080 to be opaque; add it to pod orders-"}, warning=True),
    State("opaque on pods only", opaque_on_pods,
          {PORTS: f"service orders targets the opaque port 8080 through 80; add 80 to its {OPAQUE} annotation"}, warning=True),
    State("opaque by name", opaque_by_name,
          {PORTS: f"service named targets the opaque port http through 8888; add 8888 to its {OPAQUE}"}, warning=True),
    State("opaque range on pods only", opaque_range_on_pods,
          {PORTS: "service orders targets the opaque port 8080 through 80"}, warning=True),
]  # fmt: skip


@parameters(STATES)
async def test_is_found(mesh: Mesh, state: State) -> None:
    state.options.update(PROXY)
    await expect(mesh, state)


async def test_reordered_anchors_are_fine(mesh: Mesh) -> None:
    other, own = certs.authority().pem, mesh.installed.anchor.pem
    await mesh.patch(CONFIGMAPS, mesh.control, "linkerd-identity-trust-roots", {"data": {"ca-bundle.crt": own + other}})
    await mesh.ghost("turned", anchors=other + own)
    told = wrong(await mesh.check(proxy=True))
    assert "turned" not in told[ANCHORS]


async def test_completed_pods_are_fine(mesh: Mesh) -> None:
    ended = {"name": "app", "image": "app", "imageID": "", "ready": False, "restartCount": 0,
             "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}  # fmt: skip
    await mesh.ghost("over", status={"phase": "Succeeded", "containerStatuses": [ended], "conditions": []})
    assert wrong(await mesh.check(proxy=True)) == {}


async def test_opaque_range_is_fine(mesh: Mesh) -> None:
    await on_service("annotations", OPAQUE, "70-90")(mesh)
    for pod in await mesh.pods("orders"):
        name = pod["metadata"]["name"]
        await mesh.patch(PODS, mesh.data, name, {"metadata": {"annotations": {OPAQUE: "8000-8100"}}})
    assert wrong(await mesh.check(proxy=True)) == {}
