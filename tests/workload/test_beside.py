"""The pod of `run` is like the workload's where COMMAND looks, and like none of them where the cluster looks."""

from __future__ import annotations

from typing import Any

import pytest

from interceptor.swap import SESSION_ANNOTATION, SwapPlan, swap
from interceptor.workload.beside import Beside, RunNames, beside, claims_of, original
from interceptor.workload.selectors import matches

Object = dict[str, Any]
OWNER = {"apiVersion": "batch/v1", "kind": "Job", "name": "interceptor-orders-x7f2q", "uid": "u"}
NAMES = RunNames("orders-x7f2q", "shop", "orders")
PLAN = SwapPlan(
    session="orders-x7f2q",
    container="app",
    command=("python3", "-I", "/var/run/interceptor/agent.pyz"),
    holder="ana@laptop",
    since="now",
    health_port=47812,
    secret="interceptor-orders-x7f2q",
)


def workload(kind: str = "Deployment", **pod: Any) -> Object:
    app = {
        "name": "app", "image": "shop/orders:1", "command": ["orders"], "args": ["--serve"],
        "env": [{"name": "A", "value": "b"}], "envFrom": [{"secretRef": {"name": "keys"}}],
        "ports": [{"containerPort": 8080, "hostPort": 8080}], "livenessProbe": {"tcpSocket": {"port": 8080}},
        "lifecycle": {"preStop": {"sleep": {"seconds": 5}}}, "resources": {"requests": {"cpu": "1"}},
        "volumeMounts": [{"name": "data", "mountPath": "/data"}, {"name": "settings", "mountPath": "/etc/app"}],
    }  # fmt: skip
    spec = {
        "serviceAccountName": "orders", "containers": [app, {"name": "other", "image": "x"}],
        "initContainers": [{"name": "migrate", "image": "x"}], "nodeSelector": {"disk": "fast"},
        "volumes": [
            {"name": "data", "persistentVolumeClaim": {"claimName": "orders"}},
            {"name": "settings", "configMap": {"name": "settings"}}, {"name": "unused", "emptyDir": {}},
        ], **pod,
    }  # fmt: skip
    labels = {"app": "orders", "sidecar.istio.io/inject": "true", "azure.workload.identity/use": "true"}
    annotations = {"linkerd.io/inject": "enabled", "prometheus.io/scrape": "true"}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": "orders", "namespace": "shop"},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": "orders"}},
            "template": {"metadata": {"labels": labels, "annotations": annotations}, "spec": spec},
        },
    }


def made(given: Object | None = None, *, node: str | None = "one", **modes: list[str]) -> Beside:
    return beside(NAMES, OWNER, given or workload(), PLAN, modes=modes, node=node, labels={"team": "shop"})


def test_nothing_takes_it_for_its_own() -> None:
    metadata = made().pod["metadata"]
    assert not matches({"app": "orders"}, metadata["labels"])
    assert metadata["labels"] == {
        "sidecar.istio.io/inject": "true", "azure.workload.identity/use": "true", "team": "shop",
        "app.kubernetes.io/managed-by": "interceptor-run", SESSION_ANNOTATION: "orders-x7f2q",
    }  # fmt: skip
    assert metadata["annotations"] == {"linkerd.io/inject": "enabled", SESSION_ANNOTATION: "orders-x7f2q"}
    assert metadata["ownerReferences"] == [OWNER]


def test_command_finds_its_world() -> None:
    spec = made().pod["spec"]
    (container,) = spec["containers"]
    assert spec["serviceAccountName"] == "orders"
    assert spec["nodeSelector"] == {"disk": "fast"}
    assert container["image"] == "shop/orders:1"
    assert container["command"] == list(PLAN.command)
    assert container["env"] == [{"name": "A", "value": "b"}]
    assert container["envFrom"] == [{"secretRef": {"name": "keys"}}]
    assert [mount["mountPath"] for mount in container["volumeMounts"]] == ["/data", "/etc/app", "/var/run/interceptor"]
    assert [volume["name"] for volume in spec["volumes"]] == ["data", "settings", "interceptor"]


def test_nothing_serves_or_is_probed() -> None:
    spec = made().pod["spec"]
    assert not {"ports", "args", "livenessProbe", "readinessProbe", "lifecycle"} & spec["containers"][0].keys()
    assert spec["restartPolicy"] == "Never"
    assert "initContainers" not in spec
    assert any("no other, migrate" in note for note in made().notes)


def test_disks_decide_the_node() -> None:
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["one"]}]}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    assert made(orders=["ReadWriteOnce"]).pod["spec"]["affinity"] == {"nodeAffinity": required}
    assert "affinity" not in made(orders=["ReadWriteMany"]).pod["spec"]
    assert "affinity" not in made(node=None, orders=["ReadWriteOnce"]).pod["spec"]


def test_wishes_for_nodes_stay() -> None:
    theirs = {"matchExpressions": [{"key": "gpu", "operator": "Exists"}]}
    wish = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [theirs]}}
    given = workload(affinity={"nodeAffinity": wish, "podAntiAffinity": {"x": "y"}}, topologySpreadConstraints=[{}])
    spec = made(given, orders=["ReadWriteOnce"]).pod["spec"]
    (term,) = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert term["matchExpressions"] == theirs["matchExpressions"]
    assert term["matchFields"][0]["values"] == ["one"]
    assert spec["affinity"].keys() == {"nodeAffinity"}
    assert "topologySpreadConstraints" not in spec


def test_exclusive_disks_are_left_out() -> None:
    found = made(orders=["ReadWriteOncePod"])
    assert "data" not in [volume["name"] for volume in found.pod["spec"]["volumes"]]
    assert any(note.startswith("volume /data is left out") for note in found.notes)


def test_ordered_sets_lend_their_first_disk() -> None:
    given = workload("StatefulSet")
    volumes = given["spec"]["template"]["spec"]["volumes"]
    given["spec"]["template"]["spec"]["volumes"] = volumes[1:]
    given["spec"]["volumeClaimTemplates"] = [{"metadata": {"name": "data"}}]
    assert claims_of(given) == ["data-orders-0"]
    claim = made(given).pod["spec"]["volumes"]
    assert {"name": "data", "persistentVolumeClaim": {"claimName": "data-orders-0"}} in claim


def test_intercepted_workloads_are_seen_through() -> None:
    swapped = swap(workload(), PLAN)
    assert original(swapped)["spec"] == workload()["spec"]
    assert made(original(swapped)).pod == made().pod


@pytest.mark.parametrize("image", ["python:3.13-slim"])
def test_other_images_are_pulled(image: str) -> None:
    plan = SwapPlan(**{**PLAN.__dict__, "image": image})
    found = beside(NAMES, OWNER, workload(), plan, modes={}, node=None, labels={})
    assert found.pod["spec"]["containers"][0]["image"] == image
