"""What Linkerd's own check calls green, and what this client needs for itself; one thing at a time."""

from __future__ import annotations

import datetime
from typing import Any

from e2e.mesh import certs
from e2e.mesh.breaking import State, expect, parameters
from e2e.mesh.states import Mesh, wrong
from interceptor.kube.resources import EVENTS, JOBS, NAMESPACES, ROLE_BINDINGS
from interceptor.mesh.check.model import Row

MESHED = "pods that should have a proxy have one"
LEFT_OUT = "no pod is left out of the mesh by mistake"
METRICS = "data plane metrics are present"
CERTIFICATE = "data plane proxies show a valid certificate"
CONTROL = "data plane proxies reach the control plane"


def ghost(**wishes: Any) -> Any:
    async def change(mesh: Mesh) -> None:
        await mesh.ghost("bare", proxied=False, **wishes)

    return change


async def misspelt(mesh: Mesh) -> None:
    await mesh.patch(NAMESPACES, None, mesh.data, {"metadata": {"annotations": {"linkerd.io/inject": "true"}}})


def answering(**answer: Any) -> Any:
    async def change(mesh: Mesh) -> None:
        await mesh.proxies("client", answer)

    return change


def showing(**wishes: Any) -> Any:
    async def change(mesh: Mesh) -> None:
        by = certs.issuer(certs.authority("foreign")) if wishes.pop("foreign", False) else mesh.installed.issuer
        name = wishes.pop("name", mesh.installed.identity(mesh.data))
        pair = certs.issue(name, by, **wishes)
        await mesh.proxies("client", {"certificate": pair.pem, "key": pair.key})

    return change


EMPTY = 'control_{0}_balancer_endpoints{{endpoint_state="ready",addr="linkerd"}} 0\n'


def lost(*parts: str) -> Any:
    names = [f"control_{part}_balancer_endpoints" for part in parts]
    return answering(without=names, more="".join(EMPTY.format(part) for part in parts))


async def image_refused(mesh: Mesh) -> None:
    (pod,) = await mesh.pods("client")
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    reference = {"kind": "Pod", "namespace": mesh.data, "name": pod["metadata"]["name"], "apiVersion": "v1"}
    event = {
        "metadata": {"name": "refused"}, "involvedObject": reference, "type": "Warning", "reason": "Failed",
        "message": 'Failed to pull image "python:3.13-slim": not found', "firstTimestamp": now, "lastTimestamp": now,
    }  # fmt: skip
    await mesh.create(EVENTS, mesh.data, event)


def session_object(name: str, version: str) -> dict[str, Any]:
    labels = {"app.kubernetes.io/managed-by": "interceptor"}
    pod = {"restartPolicy": "Never", "containers": [{"name": "none", "image": "none.invalid/none"}]}
    return {
        "metadata": {"name": name, "labels": labels, "annotations": {"interceptor/version": version}},
        "spec": {"parallelism": 0, "template": {"spec": pod}},
    }


async def leftover(mesh: Mesh) -> None:
    await mesh.create(JOBS, mesh.data, session_object("interceptor-orders-x7f2q", "0.0.1"))


STATES = [
    State("pod without proxy", ghost(), {MESHED: "although they should:\n\t* "}, warning=True),
    State("pod asks by itself", ghost(annotations={"linkerd.io/inject": "ingress"}), {MESHED: "/bare"}, warning=True),
    State("host network", ghost(hostNetwork=True), {LEFT_OUT: "/bare: it uses the host's network"}, warning=True),
    State("no token", ghost(automountServiceAccountToken=False), {LEFT_OUT: "automountServiceAccountToken is false"},
          warning=True),
    State("misspelt on pod", ghost(annotations={"linkerd.io/inject": "yes"}), {LEFT_OUT: '/bare: linkerd.io/inject: "yes"'},
          warning=True),
    State("misspelt on namespace", misspelt, {LEFT_OUT: 'linkerd.io/inject: "true" means nothing'}, warning=True),
    State("metrics refused", answering(metrics=403),
          {METRICS: "/metrics answers 403", CONTROL: "/metrics answers 403"}, warning=True),
    State("metrics of another", answering(without=["process_start_time"]), {METRICS: "are not a proxy's"}, warning=True),
    State("certificate expired", showing(begin=-2, end=-1), {CERTIFICATE: "is not valid anymore. Expired on "}, warning=True),
    State("certificate from tomorrow", showing(begin=1), {CERTIFICATE: "its certificate is not valid before: "}, warning=True),
    State("certificate of another", showing(name="other.example"), {CERTIFICATE: "is for other.example, not for default."},
          warning=True),
    State("certificate foreign", showing(foreign=True), {CERTIFICATE: "signed by unknown authority"}, warning=True),
    State("destination lost", lost("destination"), {CONTROL: "no endpoint of destination"}, warning=True),
    State("control plane lost", lost("destination", "policy"), {CONTROL: "no endpoint of destination and policy"}, warning=True),
    State("agent image refused", image_refused, {"agent image is reachable": "not found"}, warning=True),
    State("session left", leftover, {"no session has left anything behind": "orders-x7f2q"}, warning=True),
]  # fmt: skip


@parameters(STATES)
async def test_is_found(mesh: Mesh, state: State) -> None:
    state.options.update(proxy=True)
    await expect(mesh, state)


async def test_disabled_pods_are_fine(mesh: Mesh) -> None:
    await mesh.ghost("out", proxied=False, annotations={"linkerd.io/inject": "disabled"})
    assert wrong(await mesh.check(proxy=True)) == {}


async def test_newer_agent_is_found(mesh: Mesh) -> None:
    await mesh.create(JOBS, mesh.data, session_object("interceptor-orders-x7f2q", "99.0.0"))
    assert "99.0.0" in wrong(await mesh.check())["no agent is newer than this client"]


async def test_reader_of_one_namespace_learns_what_lacks(mesh: Mesh) -> None:
    user = "jane"
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}
    await mesh.create(ROLE_BINDINGS, mesh.data, {"metadata": {"name": user}, "roleRef": role, "subjects": [subject]})
    rows = {row.sentence: row for row in await mesh.check(user=user, proxy=True)}
    assert {row.result for row in rows.values()} == {"success", "unknown", "warning"}

    def said(sentence: str) -> str:
        row: Row = rows[sentence]
        assert row.result == "unknown"
        return row.error

    crds = "customresourcedefinitions.apiextensions.k8s.io"
    assert said("Gateway API CRDs are installed") == f"unknown: missing right get {crds}"
    assert said("'linkerd-config' config map exists") == (
        f"unknown: missing right get configmaps in namespace {mesh.control}"
    )
    assert said(METRICS).startswith("unknown: missing right ")
    assert said(METRICS).endswith(f"pods/portforward in namespace {mesh.data}")
    assert rows["data plane proxies are ready"].result == "success"
    assert rows[MESHED].result == "success"
    assert rows["you may intercept, restore and list"].result == "warning"
