"""One request on one resource: read, write, watch; called by `server` once user and right are settled."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from interceptor.devcluster import admission, resources, selection
from interceptor.devcluster.api import tables
from interceptor.devcluster.api.bodies import (
    APPLY,
    check_kind,
    delete_options,
    dry_run,
    manager,
    patched,
    read_body,
    same_but_fields,
    success,
    table_wanted,
    with_namespace,
)
from interceptor.devcluster.api.requestinfo import RequestInfo
from interceptor.devcluster.api.reviews import Reviews
from interceptor.devcluster.api.watches import Watch
from interceptor.devcluster.auth.rbac import Rbac
from interceptor.devcluster.auth.tokens import User
from interceptor.devcluster.faults import Faults
from interceptor.devcluster.objects import Object, clone, deleting, uid_of
from interceptor.devcluster.patch.apply import server_side_apply
from interceptor.devcluster.registry import DeleteOptions, Registry
from interceptor.devcluster.resources import Resource
from interceptor.devcluster.status import method_not_allowed, not_found


class Handlers:
    """Reading and writing objects."""

    def __init__(self, registry: Registry, rbac: Rbac, reviews: Reviews, faults: Faults) -> None:
        self._registry = registry
        self._store = registry.store
        self._rbac = rbac
        self._reviews = reviews
        self._faults = faults

    async def serve(self, request: web.Request, info: RequestInfo, user: User) -> web.StreamResponse:
        """Answer a request that is not a stream into a pod."""
        resource = info.resource
        assert resource is not None
        if info.subresource == "token":
            body = await read_body(request)
            return web.json_response(self._reviews.token(info.namespace, info.name, body), status=201)
        if resource.verbs == ("create",):
            if info.verb != "create":
                raise method_not_allowed()
            return web.json_response(self._reviews.answer(resource, await read_body(request), user), status=201)
        if info.verb not in resource.verbs:
            raise method_not_allowed()
        if info.verb == "watch":
            watch = Watch(self._store, info, request.query, self._predicate(request), table_wanted(request))
            with self._faults.running(info, user.name, request) as stream:
                return await watch.run(request, stream)
        if info.verb == "list":
            return self._list(request, info, resource)
        if info.verb == "get":
            return self._respond(request, resource, info, self._registry.get(resource, self._space(info), info.name))
        if info.verb == "create":
            return await self._create(request, info, resource, user)
        if info.verb in ("update", "patch"):
            return await self._write(request, info, resource, user)
        options = delete_options(await read_body(request), request)
        if info.verb == "deletecollection":
            return self._delete_many(request, info, resource, options)
        admission.check_delete(resource, info.name)
        return self._delete(resource, info, options)

    @staticmethod
    def _space(info: RequestInfo) -> str:
        return info.namespace if info.resource and info.resource.namespaced else ""

    @staticmethod
    def _predicate(request: web.Request) -> selection.Predicate | None:
        by_label, by_field = request.query.get("labelSelector"), request.query.get("fieldSelector")
        return selection.both(
            selection.labels(by_label) if by_label else None, selection.fields(by_field) if by_field else None
        )

    def _selected(self, request: web.Request, info: RequestInfo, resource: Resource) -> list[Object]:
        predicate = self._predicate(request)
        found = self._store.list(resource, self._space(info))
        return [obj for obj in found if predicate(obj)] if predicate else found

    def _list(self, request: web.Request, info: RequestInfo, resource: Resource) -> web.Response:
        objects, version = self._selected(request, info, resource), str(self._store.version)
        if include := table_wanted(request):
            return web.json_response(tables.table(resource, objects, version, include=include))
        return web.json_response(
            {
                "kind": f"{resource.kind}List",
                "apiVersion": resource.api_version,
                "metadata": {"resourceVersion": version},
                "items": objects,
            }
        )

    def _respond(
        self, request: web.Request, resource: Resource, info: RequestInfo, obj: Object, status: int = 200
    ) -> web.Response:
        if info.subresource == "scale":
            obj = scale_of(obj)
        elif include := table_wanted(request):
            obj = tables.table(resource, [obj], obj["metadata"]["resourceVersion"], include=include)
        return web.json_response(obj, status=status)

    async def _create(self, request: web.Request, info: RequestInfo, resource: Resource, user: User) -> web.Response:
        body = await read_body(request)
        if info.subresource == "eviction":
            options = delete_options(body.get("deleteOptions") or {}, request)
            self._registry.delete(resource, info.namespace, info.name, options)
            return web.json_response(success(), status=201)
        if info.subresource or info.name:
            raise method_not_allowed()
        check_kind(resource, body)
        self._rbac.check_grant(
            user, resource, {"metadata": {"namespace": info.namespace}} | with_namespace(body, info), verb="create"
        )
        made = self._registry.create(resource, self._space(info), body, dry_run=dry_run(request))
        return self._respond(request, resource, info, made, 201)

    async def _write(self, request: web.Request, info: RequestInfo, resource: Resource, user: User) -> web.Response:
        body = await read_body(request)
        old = self._store.get(resource, self._space(info), info.name)
        is_apply = info.verb == "patch" and request.content_type == APPLY
        if is_apply and old is None and not info.subresource:
            return self._apply_new(request, info, resource, body, user)
        if old is None:
            raise not_found(resource, info.name)
        if info.subresource == "scale":
            return self._scale(request, info, resource, old, body)
        if info.verb == "update":
            check_kind(resource, body)
            new = body
        elif is_apply:
            new = server_side_apply(old, body, manager(request), force=request.query.get("force") == "true")
            if old["metadata"].get("managedFields") and same_but_fields(old, new):
                new["metadata"]["managedFields"] = old["metadata"]["managedFields"]
        else:
            new = patched(request, old, body)
        self._rbac.check_grant(user, resource, new, verb="update")
        done = self._registry.update(resource, old, new, status=info.subresource == "status", dry_run=dry_run(request))
        return self._respond(request, resource, info, done)

    def _apply_new(
        self, request: web.Request, info: RequestInfo, resource: Resource, body: Object, user: User
    ) -> web.Response:
        new = server_side_apply(None, body, manager(request), force=False)
        new["metadata"].setdefault("name", info.name)
        self._rbac.check_grant(user, resource, with_namespace(new, info), verb="create")
        made = self._registry.create(resource, self._space(info), new, dry_run=dry_run(request))
        return self._respond(request, resource, info, made, 201)

    def _scale(
        self, request: web.Request, info: RequestInfo, resource: Resource, old: Object, body: Any
    ) -> web.Response:
        scale = scale_of(old)
        wanted = body if info.verb == "update" else patched(request, scale, body)
        new = clone(old)
        new["spec"]["replicas"] = (wanted.get("spec") or {}).get("replicas", 0)
        if asked := wanted["metadata"].get("resourceVersion"):
            new["metadata"]["resourceVersion"] = asked
        done = self._registry.update(resource, old, new, dry_run=dry_run(request))
        return self._respond(request, resource, info, done)

    def _delete(self, resource: Resource, info: RequestInfo, options: DeleteOptions) -> web.Response:
        obj, gone = self._registry.delete(resource, self._space(info), info.name, options)
        if not gone or resource is resources.PODS:
            return web.json_response(obj)
        details: Object = {"name": info.name, "kind": resource.plural, "uid": uid_of(obj)}
        if resource.group:
            details["group"] = resource.group
        return web.json_response(success() | {"details": details})

    def _delete_many(
        self, request: web.Request, info: RequestInfo, resource: Resource, options: DeleteOptions
    ) -> web.Response:
        found = self._selected(request, info, resource)
        for obj in found:
            if not deleting(obj):
                self._registry.delete(resource, obj["metadata"].get("namespace", ""), obj["metadata"]["name"], options)
        return web.json_response(
            {
                "kind": f"{resource.kind}List",
                "apiVersion": resource.api_version,
                "metadata": {"resourceVersion": str(self._store.version)},
                "items": found,
            }
        )


def scale_of(obj: Object) -> Object:
    """Return the Scale of a Deployment or ReplicaSet."""
    metadata = {
        key: obj["metadata"][key] for key in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    }
    labels = (obj["spec"].get("selector") or {}).get("matchLabels") or {}
    selector = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": metadata,
        "spec": {"replicas": obj["spec"]["replicas"]},
        "status": {"replicas": (obj.get("status") or {}).get("replicas", 0), "selector": selector},
    }
