"""Who changed what, and when; the entries are as a real API server writes them."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from interceptor.swap import swap
from interceptor.swap.path import text
from interceptor.workload.edits import Author, author_of, edits, words
from tests.swap.test_owners import entry, spec_fields
from tests.swap.test_template import PLAN, app_of, deployment

Object = dict[str, Any]


def before() -> Object:
    workload = deployment({"command": ["serve"], "env": [{"name": "A", "value": "1"}]})
    workload["metadata"]["managedFields"] = [entry("kubectl-client-side-apply", spec_fields(**{"f:image": {}}))]
    return swap(workload, PLAN)


def changed(by: Object | None = None, **app: Any) -> tuple[Object, Object]:
    was = before()
    now = copy.deepcopy(was)
    app_of(now).update(app)
    if by is not None:
        now["metadata"]["managedFields"].append(by)
    return was, now


def test_nothing_is_nothing() -> None:
    was, now = changed()
    now["metadata"]["resourceVersion"] = "2"
    now["status"] = {"replicas": 2}
    now["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = "7"
    assert edits(was, now) == []


def test_places_are_named_by_their_keys() -> None:
    was, now = changed(image="shop/orders:2", env=[{"name": "B", "value": "2"}, {"name": "A", "value": "3"}])
    now["spec"]["replicas"] = 4
    now["metadata"]["labels"] = {"team": "a"}
    assert {text(place) for place in edits(was, now)} == {
        "metadata.labels.team",
        "spec.replicas",
        "spec.template.spec.containers[app].image",
        "spec.template.spec.containers[app].env[A].value",
        "spec.template.spec.containers[app].env[B]",
    }


def test_order_is_a_change() -> None:
    was = before()
    now = copy.deepcopy(was)
    now["spec"]["template"]["spec"]["containers"].reverse()
    assert [text(place) for place in edits(was, now)] == ["spec.template.spec.containers"]


@pytest.mark.parametrize(
    ("by", "program"),
    [
        (entry("kubectl-client-side-apply", spec_fields(**{"f:command": {}})), "kubectl apply"),
        (entry("kubectl", spec_fields(**{"f:command": {}}), "Apply"), "kubectl apply --server-side"),
        (entry("kubectl-set", spec_fields(**{"f:command": {}})), "kubectl set"),
        (entry("argocd-controller", spec_fields(**{"f:command": {}}), "Apply"), "Argo CD"),
        (entry("kustomize-controller", spec_fields(**{"f:command": {}}), "Apply"), "Flux"),
        (entry("Helm", spec_fields(**{"f:command": {}})), "Helm"),
        (entry("own-operator", spec_fields(**{"f:command": {}})), "own-operator"),
        (entry("interceptor-agent", spec_fields(**{"f:command": {}})), "an agent"),
    ],
)
def test_writer_is_named(by: Object, program: str) -> None:
    was, now = changed(command=["theirs"], by=by)
    assert author_of(was, now, edits(was, now)) == Author(program, "08:00:52 UTC")


def test_scaling_is_told_apart() -> None:
    fields: Object = {"f:spec": {"f:replicas": {}}}
    for manager, program in (("kubectl", "kubectl scale"), ("kube-controller-manager", "the autoscaler")):
        was, now = changed(by=entry(manager, fields, subresource="scale"))
        now["spec"]["replicas"] = 5
        assert author_of(was, now, edits(was, now)).program == program


def test_owner_of_the_place_wrote_it() -> None:
    """A controller's own entry is often newer."""
    was, now = changed(command=["theirs"], by=entry("kubectl-edit", spec_fields(**{"f:command": {}})))
    status = entry("kube-controller-manager", {"f:status": {}}, subresource="status")
    now["metadata"]["managedFields"].append({**status, "time": "2026-11-23T09:00:00Z"})
    assert author_of(was, now, edits(was, now)).program == "kubectl edit"


def test_same_fields_at_a_later_time() -> None:
    """An owner that writes again changes nothing of its entry but the time."""
    was, now = changed(image="shop/orders:2")
    now["metadata"]["managedFields"][0]["time"] = "2026-11-23T09:15:00Z"
    assert author_of(was, now, edits(was, now)) == Author("kubectl apply", "09:15:00 UTC")


def test_own_field_again_has_an_author() -> None:
    """The API server then writes nothing into managedFields, not even the time."""
    was, now = changed(by=entry("kubectl", {"f:spec": {"f:replicas": {}}}, subresource="scale"))
    was["metadata"]["managedFields"] = copy.deepcopy(now["metadata"]["managedFields"])
    now["spec"]["replicas"] = 0
    assert author_of(was, now, edits(was, now)) == Author("kubectl scale", "")


def test_removal_has_no_author() -> None:
    was, now = changed()
    del app_of(now)["command"]
    author = author_of(was, now, edits(was, now))
    assert (str(author), author.at) == ("somebody", "")


def test_many_places_are_counted() -> None:
    places = [f"spec.template.spec.containers[app].{key}" for key in "abcdef"]
    assert words(places) == "containers[app].a, containers[app].b, containers[app].c and 3 more"
    assert words(["spec.template.metadata.labels.x"]) == "template labels.x"
    assert words(["spec.replicas"]) == "replicas"
