"""Who ends a session whose user may not do everything."""

from __future__ import annotations

import pytest

from interceptor.kube import resources
from interceptor.session.guarding import Guarding, choose_guard
from interceptor.session.options import Access, InterceptOptions
from interceptor.workload.allowed import MissingRights
from interceptor.workload.kinds import DEPLOYMENT
from interceptor.workload.rights import Right, needed
from interceptor.workload.role import Subject, binding, role
from tests.session.scene import RBAC, Scene, local

ROLES = Right("create", resources.ROLES, guard=True)
PATCH = Right("patch", resources.DEPLOYMENTS, name="orders")
EVENTS = Right("list", resources.EVENTS, required=False)
APP: dict[str, object] = {"argv": ["serve"]}


def chosen(
    *lacking: Right, app: dict[str, object] | None = None, guard: bool = True, dry_run: bool = False
) -> Guarding:
    options = InterceptOptions("deploy/orders", guard=guard, dry_run=dry_run)
    return choose_guard("deploy/orders", "shop", options, lacking, app)


def test_all_rights_make_a_guard() -> None:
    assert chosen(EVENTS, app=APP) == Guarding(True)


def test_without_roles_the_app_is_started_in_place() -> None:
    found = chosen(ROLES, app=APP)
    assert (found.guarded, found.app) == (False, APP)
    assert "you may not create roles" in found.notes[0]
    assert "interceptor restore deploy/orders -n shop" in found.notes[0]


def test_without_roles_another_image_is_refused() -> None:
    with pytest.raises(MissingRights, match="create roles") as refused:
        chosen(ROLES)
    assert "--no-guard" in refused.value.hint
    assert chosen(ROLES, dry_run=True) == Guarding(True)


def test_no_guard_needs_no_roles() -> None:
    assert chosen(guard=False, app=APP) == Guarding(False)


def test_other_rights_are_needed_anyway() -> None:
    for guard in (True, False):
        with pytest.raises(MissingRights, match="patch deployments") as refused:
            chosen(PATCH, ROLES, app=APP, guard=guard)
        assert "--no-guard" not in refused.value.hint


@pytest.mark.slow
async def test_client_that_was_away_ends(orders: Scene) -> None:
    """Its tunnels were cut for longer than the agents wait: they run the app again, and it puts the template back."""
    rights = role(needed(DEPLOYMENT, guard=False), "developer", orders.api.namespace)
    given = binding(rights, Subject("User", "ana"))
    await orders.api.ok("POST", orders.api.path("roles", group=RBAC), rights)
    await orders.api.ok("POST", orders.api.path("rolebindings", group=RBAC), given)
    ana = Access(kubeconfig=orders.api.kubeconfig, namespace=orders.api.namespace, as_user="ana")
    async with local() as port, orders.intercepting(ports=(f"{port}:8080",), access=ana) as running:
        await running.until("ready")
        assert running.heard.find("note", "start the app's own command in place")
        await orders.fault(subresource="portforward", status=503)
        await orders.cut("portforward")
        await orders.serves("cluster 8080")
        await orders.api.ok("DELETE", "/faults")
        await running.ended()
        assert running.error is not None
        assert "runs its app again" in running.error.message
    await orders.expect_as_before()
