"""What a container tells about itself before the swap."""

from __future__ import annotations

from typing import Any

from e2e.cluster import Cluster as GivenCluster
from e2e.kubectl import Kubectl
from e2e.workload.conftest import orders
from interceptor.kube import Cluster, load_access
from interceptor.workload.inspect import inspect, parse_environ
from interceptor.workload.objects import SessionNames

ENVIRONMENT = [
    {"name": "LINES", "value": "one\ntwo = 2\n"},
    {"name": "QUOTES", "value": 'it\'s "so" \\ $HOME'},
    {"name": "BASE", "value": "x"},
    {"name": "DERIVED", "value": "$(BASE)/$(HOSTNAME)/$$(BASE)"},
    {"name": "UMLAUT", "value": "grün 🌲"},
    {"name": "EMPTY", "value": ""},
    {"name": "LC_ALL", "value": "C"},
    {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
]


async def test_environment_is_the_pods(
    names: SessionNames, api: Cluster, cluster: GivenCluster, kubectl: Kubectl
) -> None:
    kubectl.apply(orders(cluster.python_image, env=ENVIRONMENT))
    kubectl.rolled_out("deploy/orders")
    facts = await inspect(api, names.ref, kubectl.json("get", "deploy", "orders"), "app")
    assert facts.python is not None
    kubectl("exec", facts.pod, "--", facts.python, "-c", "import ssl")
    theirs = kubectl("exec", facts.pod, "--", "env", "-0")
    assert facts.environ == parse_environ(theirs.encode())
    assert facts.environ["LINES"] == "one\ntwo = 2\n"
    assert facts.environ["DERIVED"] == "x/$(HOSTNAME)/$(BASE)"
    assert facts.reason == ""


async def test_container_with_nothing(names: SessionNames, api: Cluster, kubectl: Kubectl) -> None:
    """No Python, no shell, no cat: the cluster's own DNS server."""
    [dns] = Kubectl(kubectl.kubeconfig, "kube-system").items("deploy")
    image = dns["spec"]["template"]["spec"]["containers"][0]["image"]
    # Its own configuration: which plugins a cluster's build has, and so what it does without one, differs.
    corefile = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "dns"}}
    corefile["data"] = {"Corefile": ".:1053 {\n errors\n}\n"}
    nothing = orders(
        image,
        command=None,
        args=["-conf", "/dns/Corefile"],
        volumeMounts=[{"name": "dns", "mountPath": "/dns"}],
        readinessProbe=None,
        livenessProbe=None,
    )
    nothing["spec"]["template"]["spec"]["volumes"] = [{"name": "dns", "configMap": {"name": "dns"}}]
    kubectl.apply(corefile, nothing)
    kubectl.rolled_out("deploy/orders")
    facts = await inspect(api, names.ref, kubectl.json("get", "deploy", "orders"), "app")
    assert (facts.python, facts.environ) == (None, None)
    assert facts.reason == "it has no Python, and nothing that prints its environment"


async def test_exec_forbidden(names: SessionNames, kubectl: Kubectl, deployed: Any) -> None:
    kubectl("create", "role", "look", "--verb=list", "--resource=pods")
    kubectl("create", "rolebinding", "look", "--role=look", "--user=ben")
    async with Cluster(load_access(str(kubectl.kubeconfig), as_user="ben")) as ben:
        facts = await inspect(ben, names.ref, deployed, "app")
    assert (facts.python, facts.environ, facts.reason) == (None, None, "you may not exec into its pods")
