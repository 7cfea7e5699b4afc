"""What a person wants of a route, as the object says it, and why it can't."""

from __future__ import annotations

from typing import Any

import pytest

from interceptor.errors import InterceptorError
from interceptor.kube.resources import SERVICE_PROFILES
from interceptor.mesh.profile.apply import applied, difference, owners, removed
from interceptor.mesh.profile.edit import Wanted, edit
from interceptor.mesh.profile.rows import rows
from tests.mesh.profile.objects import BOOKS, FLAKY, GRPC, found, match, named, profile, route, service

LIMIT, HTTP = "retry.linkerd.io/limit", "retry.linkerd.io/http"


def test_profile_says_all_of_it() -> None:
    budget = {"retryRatio": 0.2, "minRetriesPerSecond": 5, "ttl": "10s"}
    made = edit(
        found(profile(BOOKS, FLAKY, retryBudget=budget)), Wanted("GET /books/{book}", 0.3, 2, "5xx", budget=0.3)
    )
    books, flaky = made.after["spec"]["routes"]
    assert (books["timeout"], books["isRetryable"], flaky) == ("300ms", True, FLAKY)
    assert made.after["spec"]["retryBudget"] == {**budget, "retryRatio": 0.3}
    assert any("no number of retries" in note for note in made.notes)


def test_profile_retries_its_failures_only() -> None:
    odd = named("GET /odd", "/odd", responseClasses=[{"condition": {"status": {"min": 404}}, "isFailure": True}])
    with pytest.raises(InterceptorError, match=r"GET /odd that is 404; --retry-on 404"):
        edit(found(profile(odd)), Wanted("GET /odd", retry_on="5xx"))
    assert edit(found(profile(odd)), Wanted("GET /odd", retry_on="404")).after["spec"]["routes"][0]["isRetryable"]


def test_taking_away() -> None:
    made = edit(found(profile(named("a", "/a", timeout="1s", isRetryable=True))), Wanted("a", 0.0, 0))
    assert made.after["spec"]["routes"] == [named("a", "/a")]
    assert not removed(made)  # the list is applied whole, without them


def test_route_of_its_own() -> None:
    listed = found(None, route("books-get", match("/books")), route("others", match("/", "PathPrefix")))
    made = edit(listed, Wanted("GET /books", 0.3, 2))
    assert made.after["spec"]["rules"][0]["timeouts"] == {"request": "300ms"}
    assert made.after["metadata"]["annotations"] == {HTTP: "5xx", LIMIT: "2"}
    body = applied(made)
    assert body["metadata"]["resourceVersion"] == "3"
    assert body["spec"] == {"rules": made.after["spec"]["rules"]}
    assert {line for line in difference(made) if line.startswith("+ ")} >= {"+    timeouts:"}


def test_annotation_that_is_there_is_changed() -> None:
    listed = route("books-get", match("/books"), annotations={"timeout.linkerd.io/request": "1s"})
    made = edit(found(None, listed), Wanted("books-get", 2.0))
    assert made.after["metadata"]["annotations"] == {"timeout.linkerd.io/request": "2s"}
    assert [change.place for change in made.changes] == ["metadata.annotations[timeout.linkerd.io/request]"]


def test_annotations_need_an_object_of_their_own() -> None:
    both = found(None, route("web", rules=[{"matches": [match("/a")]}, {"matches": [match("/b")]}]))
    with pytest.raises(InterceptorError, match=r"for all of httproute/web, which has other matches beside GET /a"):
        edit(both, Wanted("GET /a", retries=2))
    made = edit(both, Wanted("GET /b", 0.3))
    assert "timeouts" not in made.after["spec"]["rules"][0]
    assert made.after["spec"]["rules"][1]["timeouts"] == {"request": "300ms"}


def test_grpc_has_annotations_only() -> None:
    made = edit(found(None, GRPC), Wanted("/shop.Orders/Get", 0.3, retry_on="unavailable,internal"))
    assert made.after["metadata"]["annotations"] == {
        "timeout.linkerd.io/request": "300ms",
        "retry.linkerd.io/grpc": "unavailable,internal",
        LIMIT: "1",
    }


def test_route_has_no_budget() -> None:
    with pytest.raises(InterceptorError, match="httproute/books-get has no retry budget"):
        edit(found(None, route("books-get", match("/books"))), Wanted("books-get", budget=0.2))


def test_services_annotations_are_hidden() -> None:
    listed = found(None, route("books-get", match("/books")), of=service(**{HTTP: "5xx", LIMIT: "3"}))
    (row,) = rows(listed)
    assert (row.retries, row.retry_on) == (3, "5xx")
    assert any("the Service's own retry" in note for note in edit(listed, Wanted("books-get", retries=1)).notes)


def test_first_route_makes_a_profile() -> None:
    made = edit(found(), Wanted("GET /books/{id}", 0.3))
    assert made.before is None
    assert made.name == "web.shop.svc.cluster.local"
    assert made.after["spec"]["routes"] == [{**BOOKS, "timeout": "300ms"}]


def test_missing_kind_is_said() -> None:
    empty = found()
    empty.absent.add(SERVICE_PROFILES)
    with pytest.raises(InterceptorError, match="no ServiceProfiles to make one"):
        edit(empty, Wanted("GET /books", 0.3))


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ("GET /boks/{id}", r"no route 'GET /boks/{id}'; did you mean 'GET /books/{id}'"),
        ("DELETE /zzzzzzzzzzzzzz", r"it has: GET /books/{id}, GET /flaky"),
    ],
)
def test_no_such_route(wanted: str, told: str) -> None:
    with pytest.raises(InterceptorError, match=told):
        edit(found(profile(BOOKS, FLAKY)), Wanted(wanted, 0.3))


def test_shadowed_route_is_no_route() -> None:
    both = found(profile(BOOKS), route("books-old", match("/old")))
    assert [row.shadowed_by for row in rows(both)] == ["", "serviceprofile/web.shop.svc.cluster.local"]
    with pytest.raises(InterceptorError, match=r"is not in force: serviceprofile/web\S+ disables it"):
        edit(both, Wanted("GET /old", 0.3))


def test_owners_of_the_list_are_found() -> None:
    item = profile(BOOKS)
    fields: dict[str, Any] = {"f:spec": {"f:routes": {}}}
    item["metadata"]["managedFields"] = [
        {"manager": "argocd-controller", "operation": "Apply", "fieldsV1": fields},
        {"manager": "kubectl-edit", "operation": "Update", "fieldsV1": fields},
        {"manager": "status-writer", "operation": "Update", "subresource": "status", "fieldsV1": fields},
        {"manager": "other", "operation": "Update", "fieldsV1": {"f:spec": {"f:retryBudget": {}}}},
    ]
    theirs = owners(edit(found(item), Wanted("GET /books/{id}", 0.3)))
    assert [(owner.manager, owner.field, owner.returns) for owner in theirs] == [
        ("argocd-controller", "spec.routes", True),
        ("kubectl-edit", "spec.routes", False),
    ]
