"""What an installation would need."""

from __future__ import annotations

from e2e.mesh.installation import VERSION
from e2e.mesh.states import Mesh, wrong


async def test_administrator_may_install(mesh: Mesh) -> None:
    rows = await mesh.check(pre=True, linkerd_namespace=f"{mesh.control}-not", expected_version=VERSION)
    assert wrong(rows) == {}


async def test_installed_already(mesh: Mesh) -> None:
    told = wrong(await mesh.check(pre=True, expected_version=VERSION))
    assert told == {"control plane namespace does not already exist": f'The "{mesh.control}" namespace already exists'}


async def test_nobody_may_not(mesh: Mesh) -> None:
    rows = {row.sentence: row for row in await mesh.check(pre=True, user="nobody", expected_version=VERSION)}
    refused = {sentence for sentence, row in rows.items() if row.result == "error"}
    kinds = ("ServiceAccounts", "Services", "Deployments", "CronJobs", "ConfigMaps", "Secrets")
    assert refused == {
        "can create non-namespaced resources", *(f"can create {kind}" for kind in kinds), "can read Secrets",
    }  # fmt: skip
    assert rows["can create non-namespaced resources"].error.startswith("cannot create Namespace: not allowed")
    assert rows["no clock skew detected"].error == "unknown: missing right list nodes"
