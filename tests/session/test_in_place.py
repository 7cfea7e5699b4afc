"""Who ends a session whose user may not do everything."""

from __future__ import annotations

import pytest

from interceptor.kube import resources
from interceptor.session.in_place import Guarding, choose_guard
from interceptor.session.options import InterceptOptions
from interceptor.workload.rights import MissingRights, Right

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
