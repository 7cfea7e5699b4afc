"""The same questions for an Istio."""

from __future__ import annotations

from typing import Any

from e2e.mesh import certs
from e2e.mesh.installation import encoded
from tests.mesh.api import MeshApi
from tests.mesh.conftest import Checked

Object = dict[str, Any]


def pod(name: str, namespace: str, *containers: str, **labels: str) -> tuple[Object, str]:
    ready = [
        {"name": item.partition(":")[0].rpartition("/")[2], "ready": True, "state": {"running": {}}}
        for item in containers
    ]
    specs = [{"name": item["name"], "image": image} for item, image in zip(ready, containers, strict=True)]
    status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}], "containerStatuses": ready}
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    return {"kind": "Pod", "metadata": metadata, "spec": {"containers": specs}, "status": status}, namespace


def istio(api: MeshApi) -> None:
    bundle = {"clientConfig": {"caBundle": encoded(certs.authority().pem)}}
    api.objects = [
        ({"kind": "CustomResourceDefinition", "metadata": {"name": "virtualservices.networking.istio.io"}}, ""),
        (
            {
                "kind": "MutatingWebhookConfiguration",
                "metadata": {"name": "istio-sidecar-injector"},
                "webhooks": [bundle],
            },
            "",
        ),
        ({"kind": "Namespace", "metadata": {"name": "shop", "labels": {"istio-injection": "enabled"}}}, ""),
        pod("istiod-1", "istio-system", "istio/discovery:1.29.0", app="istiod"),
        pod("web-1", "shop", "web:1", "istio/istio-proxy:1.29.0"),
    ]


async def wrong(checked: Checked) -> dict[str, str]:
    return {row.sentence: row.error for row in await checked(proxy=True) if row.result != "success"}


async def test_healthy_passes(api: MeshApi, checked: Checked) -> None:
    istio(api)
    rows = await checked(proxy=True)
    assert {row.category for row in rows} == {"kubernetes-api", "kubernetes-version", "istio", "istio-data-plane"}
    assert {row.result for row in rows} == {"success"}


async def test_no_istiod_is_found(api: MeshApi, checked: Checked) -> None:
    istio(api)
    api.remove("Pod", "istiod-1")
    assert await wrong(checked) == {"istiod is running": "no pod of istiod is ready"}


async def test_untrusted_injector_is_found(api: MeshApi, checked: Checked) -> None:
    istio(api)
    config = api.find("MutatingWebhookConfiguration", "istio-sidecar-injector")
    config["webhooks"][0]["clientConfig"]["caBundle"] = encoded(certs.authority(begin=-9, end=-1).pem)
    assert "not valid anymore" in (await wrong(checked))["the sidecar injector is trusted"]


async def test_missing_sidecar_is_found(api: MeshApi, checked: Checked) -> None:
    istio(api)
    api.objects += [
        pod("bare-1", "shop", "web:1"),
        pod("out-1", "shop", "web:1", **{"sidecar.istio.io/inject": "false"}),
    ]
    told = await wrong(checked)
    assert told == {
        "pods that should have a sidecar have one": "Some pods have no sidecar, although they should:\n\t* shop/bare-1"
    }


async def test_unready_and_old_sidecars_are_found(api: MeshApi, checked: Checked) -> None:
    istio(api)
    old, _ = pod("old-1", "shop", "web:1", "istio/istio-proxy:1.20.0")
    old["status"]["containerStatuses"][1]["ready"] = False
    api.objects.append((old, "shop"))
    told = await wrong(checked)
    assert "* shop/old-1" in told["sidecars are ready"]
    assert "* shop/old-1 (1.20.0)" in told["sidecars are up-to-date"]
