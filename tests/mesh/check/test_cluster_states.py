"""States of nodes and of the API server, which no test may make on a cluster that others use."""

from __future__ import annotations

import datetime

from tests.mesh.api import MeshApi
from tests.mesh.conftest import Checked

LONG_AGO = (datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=30)).strftime("%Y-%m-%dT%H:%M:%SZ")


async def wrong(checked: Checked, **options: object) -> dict[str, str]:
    return {row.sentence: row.error for row in await checked(**options) if row.result != "success"}


async def test_old_kubernetes_is_found(api: MeshApi, checked: Checked) -> None:
    api.version = "v1.30.9+k3s1"
    assert await wrong(checked) == {
        "is running the minimum Kubernetes API version": (
            "Kubernetes is on version [1.30.9], but version [1.31.0] or more recent is required"
        )
    }


async def test_node_outside_networks_is_found(api: MeshApi, checked: Checked) -> None:
    api.find("Node", "ground")["spec"]["podCIDR"] = "11.0.0.0/24"
    assert await wrong(checked) == {
        "cluster networks contains all node podCIDRs": (
            "node has podCIDR(s) [11.0.0.0/24] which are not contained in the Linkerd clusterNetworks.\n"
            '\tTry installing linkerd via --set clusterNetworks="11.0.0.0/24"'
        )
    }


async def test_docker_runtime_is_found(api: MeshApi, checked: Checked) -> None:
    api.find("Node", "ground")["status"]["nodeInfo"]["containerRuntimeVersion"] = "docker://20.10"
    told = await wrong(checked)
    assert list(told) == ["proxy-init container runs as root user if docker container runtime is used"]


async def test_skewed_clock_is_found(api: MeshApi, checked: Checked) -> None:
    node = api.find("Node", "ground")
    node["status"]["conditions"][0]["lastHeartbeatTime"] = LONG_AGO
    told = await wrong(checked, pre=True, expected_version="edge-26.8.1")
    assert told["no clock skew detected"] == "clock skew detected for node(s): ground"
    assert told["control plane namespace does not already exist"] == 'The "linkerd" namespace already exists'


async def test_no_version_to_compare_is_unknown(checked: Checked, api: MeshApi) -> None:
    api.remove("Namespace", "linkerd")
    api.remove("ConfigMap", "linkerd-config")
    told = await wrong(checked, pre=True)
    assert told["cli is up-to-date"] == "unknown: no control plane to ask, and no --expected-version"


async def test_dead_api_is_one_failure(api: MeshApi, checked: Checked) -> None:
    await api.stop()
    rows = await checked(own=True)
    assert [(row.sentence, row.result) for row in rows] == [
        ("can initialize the client", "success"),
        ("can query the Kubernetes API", "error"),
    ]


async def test_cluster_without_mesh_is_fine(api: MeshApi, checked: Checked) -> None:
    api.objects.clear()
    rows = await checked(own=True)
    assert {row.category for row in rows} == {"kubernetes-api", "kubernetes-version", "interceptor"}
    assert all(row.result == "success" for row in rows)
