"""The checks before something is stored, worded as the API server words them; called by `registry`. Pure.

Not a schema: what the product, the demo and ordinary manifests get wrong. Missing required fields of other kinds pass.
"""

from __future__ import annotations

import re
from typing import Any

from interceptor.devcluster import selection
from interceptor.devcluster.objects import Object
from interceptor.devcluster.resources import Resource
from interceptor.devcluster.status import invalid

Cause = tuple[str, str, str]
_LABEL = re.compile(r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")
_SUBDOMAIN = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
_LABEL_WORDS = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an "
    "alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_SUBDOMAIN_WORDS = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end "
    "with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")


def _bad(field: str, value: Any, words: str) -> Cause:
    shown = f'"{value}"' if isinstance(value, str) else str(value)
    return ("FieldValueInvalid", field, f"Invalid value: {shown}: {words}")


def _required(field: str, words: str = "") -> Cause:
    return ("FieldValueRequired", field, "Required value" + (f": {words}" if words else ""))


def _container(container: Object, field: str, volumes: set[str]) -> list[Cause]:
    causes: list[Cause] = []
    name = container.get("name", "")
    if not name:
        causes.append(_required(f"{field}.name"))
    elif not _LABEL.match(name):
        causes.append(_bad(f"{field}.name", name, _LABEL_WORDS))
    if not container.get("image"):
        causes.append(_required(f"{field}.image"))
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        if mount.get("name") not in volumes:
            words = f'Not found: "{mount.get("name")}"'
            causes.append(("FieldValueNotFound", f"{field}.volumeMounts[{index}].name", words))
    for index, port in enumerate(container.get("ports") or ()):
        if not 0 < port.get("containerPort", 0) < 65536:
            words = "must be between 1 and 65535, inclusive"
            causes.append(_bad(f"{field}.ports[{index}].containerPort", port.get("containerPort", 0), words))
    for probe in _PROBES:
        handlers = set(container.get(probe) or {}) & {"exec", "httpGet", "tcpSocket", "grpc"}
        if probe in container and not handlers:
            causes.append(_required(f"{field}.{probe}", "must specify a handler type"))
        elif len(handlers) > 1:
            words = "may not specify more than 1 handler type"
            causes.append(("FieldValueForbidden", f"{field}.{probe}.{max(handlers)}", f"Forbidden: {words}"))
    return causes


def _pod_spec(spec: Object, field: str) -> list[Cause]:
    causes: list[Cause] = []
    if not spec.get("containers"):
        causes.append(_required(f"{field}.containers"))
    volumes = {volume["name"] for volume in spec.get("volumes") or ()}
    seen: set[str] = set()
    for group in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(group) or ()):
            where = f"{field}.{group}[{index}]"
            causes += _container(container, where, volumes)
            if (name := container.get("name")) in seen:
                causes.append(("FieldValueDuplicate", f"{where}.name", f'Duplicate value: "{name}"'))
            seen.add(name or "")
    return causes


def _workload(obj: Object) -> list[Cause]:
    spec = obj["spec"]
    causes: list[Cause] = []
    template = spec.get("template") or {}
    labels = (template.get("metadata") or {}).get("labels") or {}
    if not spec.get("selector"):
        causes.append(_required("spec.selector"))
    elif not selection.matches(spec["selector"], labels):
        words = "`selector` does not match template `labels`"
        shown = "{" + ",".join(f'"{key}":"{value}"' for key, value in labels.items()) + "}"
        causes.append(("FieldValueInvalid", "spec.template.metadata.labels", f"Invalid value: {shown}: {words}"))
    if spec.get("replicas", 0) < 0:
        causes.append(_bad("spec.replicas", spec["replicas"], "must be greater than or equal to 0"))
    return causes + _pod_spec(template.get("spec") or {}, "spec.template.spec")


def _job(obj: Object) -> list[Cause]:
    spec = obj["spec"]
    causes = _pod_spec(spec["template"].get("spec") or {}, "spec.template.spec")
    policy = spec["template"]["spec"].get("restartPolicy")
    if policy not in ("Never", "OnFailure"):
        words = f'Unsupported value: "{policy}": supported values: "OnFailure", "Never"'
        causes.append(("FieldValueNotSupported", "spec.template.spec.restartPolicy", words))
    for field in ("activeDeadlineSeconds", "parallelism", "ttlSecondsAfterFinished"):
        if spec.get(field, 0) < 0:
            causes.append(_bad(f"spec.{field}", spec[field], "must be greater than or equal to 0"))
    return causes


def _service(obj: Object) -> list[Cause]:
    spec = obj["spec"]
    if not spec.get("ports") and spec["type"] != "ExternalName" and spec.get("clusterIP") != "None":
        return [_required("spec.ports")]
    names = [port.get("name", "") for port in spec.get("ports") or ()]
    if len(names) > 1 and "" in names:
        return [_required(f"spec.ports[{names.index('')}].name")]
    return []


def check(resource: Resource, obj: Object) -> None:
    """Raise 422 when the object is not valid."""
    name = obj["metadata"].get("name", "")
    causes: list[Cause] = []
    if not name:
        causes.append(_required("metadata.name", "name or generateName is required"))
    elif resource.group != "rbac.authorization.k8s.io" and (len(name) > 253 or not _SUBDOMAIN.match(name)):
        causes.append(_bad("metadata.name", name, _SUBDOMAIN_WORDS))
    if resource.kind in ("Deployment", "ReplicaSet"):
        causes += _workload(obj)
    elif resource.kind == "Pod":
        causes += _pod_spec(obj.get("spec") or {}, "spec")
    elif resource.kind == "Job":
        causes += _job(obj)
    elif resource.kind == "Service":
        causes += _service(obj)
    if causes:
        raise invalid(resource, name, causes)


_IMMUTABLE = {"Deployment": ("selector",), "ReplicaSet": ("selector",), "Job": ("selector", "template")}
_POD_MUTABLE = ("tolerations", "activeDeadlineSeconds", "terminationGracePeriodSeconds", "nodeName")


def _pod_fixed(spec: Object) -> Object:
    fixed = {key: value for key, value in spec.items() if key not in _POD_MUTABLE}
    for group in ("initContainers", "containers"):
        if group in fixed:
            fixed[group] = [{**container, "image": ""} for container in fixed[group]]
    return fixed


def check_update(resource: Resource, old: Object, new: Object) -> None:
    """Raise 422 when a field changed that must not."""
    causes: list[Cause] = []
    causes += [
        _bad(f"spec.{field}", new["spec"].get(field), "field is immutable")
        for field in _IMMUTABLE.get(resource.kind, ())
        if old["spec"].get(field) != new["spec"].get(field)
    ]
    if resource.kind == "Pod" and _pod_fixed(old["spec"]) != _pod_fixed(new["spec"]):
        words = (
            "Forbidden: pod updates may not change fields other than `spec.containers[*].image`,"
            "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing "
            "tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
        )
        causes.append(("FieldValueForbidden", "spec", words))
    if resource.kind in ("RoleBinding", "ClusterRoleBinding") and old["roleRef"] != new["roleRef"]:
        causes.append(_bad("roleRef", new["roleRef"], "cannot change roleRef"))
    if resource.kind == "Secret" and old.get("type") != new.get("type"):
        causes.append(_bad("type", new.get("type"), "field is immutable"))
    if old.get("immutable") and (old.get("data") != new.get("data") or not new.get("immutable")):
        causes.append(("FieldValueForbidden", "data", "Forbidden: field is immutable when `immutable` is set"))
    if causes:
        raise invalid(resource, new["metadata"]["name"], causes)
