"""What a request's body and query say: objects, patches, delete options; called by `handlers`."""

from __future__ import annotations

import re
from typing import Any

import yaml
from aiohttp import web

from interceptor.devcluster.api import protobuf
from interceptor.devcluster.api.requestinfo import RequestInfo
from interceptor.devcluster.objects import Object, clone
from interceptor.devcluster.patch.jsonpatch import json_patch, merge_patch
from interceptor.devcluster.patch.strategic import strategic_merge
from interceptor.devcluster.registry import DeleteOptions
from interceptor.devcluster.resources import Resource
from interceptor.devcluster.status import ApiError, bad_request

APPLY = "application/apply-patch+yaml"
_READABLE = "application/json, application/yaml"
_UNKNOWN_FORMAT = f"the body of the request was in an unknown format - accepted media types include: {_READABLE}"


async def read_body(request: web.Request) -> Any:
    """Decode a body; 415 for what only real servers read (CBOR)."""
    raw = await request.read()
    if not raw:
        return {}
    kind = request.content_type
    if kind == protobuf.CONTENT_TYPE:
        return protobuf.decode(raw)
    if kind in ("application/yaml", APPLY):
        return yaml.load(raw, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506  (the safe one, in C)
    if "json" not in kind and kind != "application/octet-stream":
        raise ApiError(415, "UnsupportedMediaType", _UNKNOWN_FORMAT)
    try:
        return await request.json()
    except ValueError as error:
        raise bad_request(f"error decoding request body: {error}") from error


def table_wanted(request: web.Request) -> str:
    """Return how much of each object a wanted Table includes, "" when the client wants plain objects."""
    first = request.headers.get("Accept", "").split(",")[0]
    if "as=Table" not in re.split(r"\s*;\s*", first):
        return ""
    return request.query.get("includeObject", "Metadata")


def patched(request: web.Request, old: Object, body: Any) -> Object:
    """Return `old` after the patch in the body."""
    kind = request.content_type
    if kind == "application/json-patch+json":
        return json_patch(old, body)
    if kind == "application/merge-patch+json":
        merged: Object = merge_patch(old, body)
        return merged
    if kind == "application/strategic-merge-patch+json":
        return strategic_merge(clone(old), body)
    raise ApiError(415, "UnsupportedMediaType", _UNKNOWN_FORMAT)


def same_but_fields(old: Object, new: Object) -> bool:
    """Tell whether an apply changed nothing but the time of ownership."""

    def bare(obj: Object) -> Object:
        metadata = {key: value for key, value in obj["metadata"].items() if key != "managedFields"}
        owned = [{**entry, "time": ""} for entry in obj["metadata"].get("managedFields") or ()]
        return obj | {"metadata": metadata, "managed": sorted(owned, key=lambda entry: str(entry["manager"]))}

    return bare(old) == bare(new)


def check_kind(resource: Resource, body: Any) -> None:
    """Raise 400 when the body is of another kind than the path."""
    given = (body.get("apiVersion", resource.api_version), body.get("kind", resource.kind))
    if given != (resource.api_version, resource.kind):
        raise bad_request(
            f"the API version in the data ({given[0]}, {given[1]}) does not match the expected API version "
            f"({resource.api_version}, {resource.kind})"
        )


def with_namespace(body: Object, info: RequestInfo) -> Object:
    """Return the body with the path's namespace in it."""
    return body | {"metadata": {"namespace": info.namespace} | (body.get("metadata") or {})}


def dry_run(request: web.Request) -> bool:
    """Tell whether nothing is to be stored."""
    return request.query.get("dryRun") == "All"


def manager(request: web.Request) -> str:
    """Return the name of who applies; 400 without."""
    manager = request.query.get("fieldManager")
    if not manager:
        raise bad_request(
            'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch'
        )
    return manager


def success() -> Object:
    """Return the Status of what worked."""
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}


def delete_options(body: Object, request: web.Request) -> DeleteOptions:
    """Read the body and query of a DELETE."""
    query, conditions = request.query, body.get("preconditions") or {}
    grace = body.get("gracePeriodSeconds", query.get("gracePeriodSeconds"))
    return DeleteOptions(
        grace=None if grace is None else int(grace),
        propagation=body.get("propagationPolicy") or query.get("propagationPolicy"),
        uid=conditions.get("uid"),
        version=conditions.get("resourceVersion"),
        dry_run=dry_run(request) or body.get("dryRun") == ["All"],
    )
