"""Whose fields a change takes, and who refuses it before anything is asked of the cluster."""

from __future__ import annotations

from typing import Any

import pytest

from interceptor.errors import InterceptorError
from interceptor.mesh.profile.edit import Edit, Wanted, edit
from interceptor.session.profile_plan import taken_from
from tests.mesh.profile.objects import BOOKS, found, profile

Object = dict[str, Any]


def change(manager: str = "", **metadata: Any) -> Edit:
    item = profile(BOOKS)
    item["metadata"] |= metadata
    if manager:
        fields: Object = {"f:spec": {"f:routes": {}}}
        item["metadata"]["managedFields"] = [{"manager": manager, "operation": "Update", "fieldsV1": fields}]
    return edit(found(item), Wanted("GET /books/{id}", 0.3))


def test_nobodys_fields_are_free() -> None:
    assert taken_from(change(), force=False) == []


@pytest.mark.parametrize("manager", ["kubectl-client-side-apply", "kubectl-edit", "helm"])
def test_peoples_fields_are_taken_and_told(manager: str) -> None:
    (note,) = taken_from(change(manager), force=False)
    assert note == f"spec.routes belongs to {manager}: taken for the time, and given back"


def test_controllers_fields_are_refused() -> None:
    with pytest.raises(
        InterceptorError, match=r"spec\.routes of serviceprofile/web\S+ belongs to field manager operator"
    ):
        taken_from(change("operator"), force=False)
    assert len(taken_from(change("operator"), force=True)) == 1


@pytest.mark.parametrize(
    ("metadata", "who"),
    [
        ({"annotations": {"argocd.argoproj.io/tracking-id": "shop:x"}}, "Argo CD owns serviceprofile/web"),
        ({"labels": {"kustomize.toolkit.fluxcd.io/name": "shop"}}, "Flux owns serviceprofile/web"),
        ({"ownerReferences": [{"kind": "App", "name": "a", "controller": True}]}, "App a made serviceprofile/web"),
    ],
)
def test_kept_objects_are_refused(metadata: Object, who: str) -> None:
    with pytest.raises(InterceptorError, match=who):
        taken_from(change(**metadata), force=False)
    assert taken_from(change(**metadata), force=True) == []
