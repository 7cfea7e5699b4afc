"""Kubernetes' protobuf bodies, as far as kubectl's `create` and `auth` commands send them; called by `handlers`. Pure.

Newer kubectl sends typed objects in this form only. Answers are JSON, which it takes. A field that isn't in the tables
is a 501 that says so: leaving it out in silence would store something else than was asked. Numbers: the generated.proto
files.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

from interceptor.devcluster.objects import Object
from interceptor.devcluster.status import bad_request, unsupported

MAGIC = b"k8s\x00"
CONTENT_TYPE = "application/vnd.kubernetes.protobuf"
_VARINT, _BYTES = 0, 2

Fields = dict[int, tuple[str, str]]
"""Field number to (JSON name, type); types: str, bytes, int, bool, map, bytemap, skip, a message's name; `*` repeats."""

_META: Fields = {
    1: ("name", "str"), 2: ("generateName", "str"), 3: ("namespace", "str"), 4: ("selfLink", "skip"), 5: ("uid", "str"),
    6: ("resourceVersion", "str"), 7: ("generation", "skip"), 8: ("creationTimestamp", "skip"), 11: ("labels", "map"),
    12: ("annotations", "map"), 13: ("ownerReferences", "*OwnerReference"), 14: ("finalizers", "*str"),
}  # fmt: skip
_MESSAGES: dict[str, Fields] = {
    "ObjectMeta": _META,
    "OwnerReference": {
        1: ("kind", "str"), 3: ("name", "str"), 4: ("uid", "str"), 5: ("apiVersion", "str"), 6: ("controller", "bool"),
        7: ("blockOwnerDeletion", "bool"),
    },
    "Namespace": {1: ("metadata", "ObjectMeta"), 2: ("spec", "skip"), 3: ("status", "skip")},
    "ConfigMap": {1: ("metadata", "ObjectMeta"), 2: ("data", "map"), 3: ("binaryData", "bytemap"), 4: ("immutable", "bool")},
    "Secret": {
        1: ("metadata", "ObjectMeta"), 2: ("data", "bytemap"), 3: ("type", "str"), 4: ("stringData", "map"),
        5: ("immutable", "bool"),
    },
    "ServiceAccount": {1: ("metadata", "ObjectMeta"), 4: ("automountServiceAccountToken", "bool")},
    "Role": {1: ("metadata", "ObjectMeta"), 2: ("rules", "*PolicyRule")},
    "ClusterRole": {1: ("metadata", "ObjectMeta"), 2: ("rules", "*PolicyRule")},
    "PolicyRule": {
        1: ("verbs", "*str"), 2: ("apiGroups", "*str"), 3: ("resources", "*str"), 4: ("resourceNames", "*str"),
        5: ("nonResourceURLs", "*str"),
    },
    "RoleBinding": {1: ("metadata", "ObjectMeta"), 2: ("subjects", "*Subject"), 3: ("roleRef", "RoleRef")},
    "ClusterRoleBinding": {1: ("metadata", "ObjectMeta"), 2: ("subjects", "*Subject"), 3: ("roleRef", "RoleRef")},
    "Subject": {1: ("kind", "str"), 2: ("apiGroup", "str"), 3: ("name", "str"), 4: ("namespace", "str")},
    "RoleRef": {1: ("apiGroup", "str"), 2: ("kind", "str"), 3: ("name", "str")},
    "TokenRequest": {1: ("metadata", "ObjectMeta"), 2: ("spec", "TokenRequestSpec"), 3: ("status", "skip")},
    "TokenRequestSpec": {1: ("audiences", "*str"), 3: ("boundObjectRef", "BoundObject"), 4: ("expirationSeconds", "int")},
    "BoundObject": {1: ("kind", "str"), 2: ("apiVersion", "str"), 3: ("name", "str"), 4: ("uid", "str")},
    "SelfSubjectReview": {1: ("metadata", "ObjectMeta"), 2: ("status", "skip")},
    "SelfSubjectRulesReview": {1: ("metadata", "ObjectMeta"), 2: ("spec", "RulesSpec"), 3: ("status", "skip")},
    "RulesSpec": {1: ("namespace", "str")},
    "SelfSubjectAccessReview": {1: ("metadata", "ObjectMeta"), 2: ("spec", "AccessSpec"), 3: ("status", "skip")},
    "AccessSpec": {1: ("resourceAttributes", "Attributes"), 2: ("nonResourceAttributes", "PathAttributes")},
    "Attributes": {
        1: ("namespace", "str"), 2: ("verb", "str"), 3: ("group", "str"), 4: ("version", "str"), 5: ("resource", "str"),
        6: ("subresource", "str"), 7: ("name", "str"),
    },
    "PathAttributes": {1: ("path", "str"), 2: ("verb", "str")},
    "Service": {1: ("metadata", "ObjectMeta"), 2: ("spec", "ServiceSpec"), 3: ("status", "skip")},
    "ServiceSpec": {
        1: ("ports", "*ServicePort"), 2: ("selector", "map"), 3: ("clusterIP", "str"), 4: ("type", "str"),
        7: ("sessionAffinity", "str"), 8: ("loadBalancerIP", "str"), 10: ("externalName", "str"),
        11: ("externalTrafficPolicy", "str"), 12: ("healthCheckNodePort", "skip"), 13: ("publishNotReadyAddresses", "bool"),
    },
    "ServicePort": {
        1: ("name", "str"), 2: ("protocol", "str"), 3: ("port", "int"), 4: ("targetPort", "IntOrString"),
        5: ("nodePort", "int"),
    },
    "Deployment": {1: ("metadata", "ObjectMeta"), 2: ("spec", "DeploymentSpec"), 3: ("status", "skip")},
    "DeploymentSpec": {
        1: ("replicas", "int"), 2: ("selector", "LabelSelector"), 3: ("template", "PodTemplate"), 4: ("strategy", "Strategy"),
        5: ("minReadySeconds", "int"), 7: ("paused", "bool"),
    },
    "Strategy": {1: ("type", "str")},
    "LabelSelector": {1: ("matchLabels", "map")},
    "PodTemplate": {1: ("metadata", "ObjectMeta"), 2: ("spec", "PodSpec")},
    "PodSpec": {
        2: ("containers", "*Container"), 3: ("restartPolicy", "str"), 6: ("dnsPolicy", "str"),
        8: ("serviceAccountName", "str"),
        9: ("serviceAccount", "str"), 10: ("nodeName", "str"), 11: ("hostNetwork", "bool"), 12: ("hostPID", "bool"),
        13: ("hostIPC", "bool"), 16: ("hostname", "str"), 17: ("subdomain", "str"), 19: ("schedulerName", "str"),
        24: ("priorityClassName", "str"),
    },
    "Container": {
        1: ("name", "str"), 2: ("image", "str"), 3: ("command", "*str"), 4: ("args", "*str"), 5: ("workingDir", "str"),
        6: ("ports", "*ContainerPort"), 7: ("env", "*EnvVar"), 8: ("resources", "skip"),
        13: ("terminationMessagePath", "str"),
        14: ("imagePullPolicy", "str"), 16: ("stdin", "bool"), 17: ("stdinOnce", "bool"), 18: ("tty", "bool"),
        20: ("terminationMessagePolicy", "str"),
    },
    "ContainerPort": {
        1: ("name", "str"), 2: ("hostPort", "int"), 3: ("containerPort", "int"), 4: ("protocol", "str"), 5: ("hostIP", "str"),
    },
    "EnvVar": {1: ("name", "str"), 2: ("value", "str")},
}  # fmt: skip
_MAP: Fields = {1: ("key", "str"), 2: ("value", "str")}
_BYTE_MAP: Fields = {1: ("key", "str"), 2: ("value", "bytes")}
_UNKNOWN: Fields = {1: ("type", "TypeMeta"), 2: ("raw", "raw"), 3: ("encoding", "skip"), 4: ("content", "skip")}
_MESSAGES["TypeMeta"] = {1: ("apiVersion", "str"), 2: ("kind", "str")}


def decode(body: bytes) -> Object:
    """Return the object in a protobuf body."""
    if not body.startswith(MAGIC):
        raise bad_request("the body has no protobuf prefix")
    try:
        envelope = _message(body[len(MAGIC) :], "Unknown", _UNKNOWN)
        head = envelope["type"]
        fields = _MESSAGES.get(head["kind"])
        if fields is None:
            raise unsupported(f"{head['kind']} in protobuf; kubectl apply -f and kubectl create -f send JSON")
        found: Object = head | _message(envelope.get("raw", b""), head["kind"], fields)
        return found
    except (IndexError, KeyError, UnicodeDecodeError) as error:
        raise bad_request(f"the protobuf body can't be read: {error}") from error


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def _entries(data: bytes) -> Iterator[tuple[int, Any]]:
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        kind = tag & 7
        value: Any
        if kind == _VARINT:
            value, at = _varint(data, at)
        elif kind == _BYTES:
            size, at = _varint(data, at)
            value, at = data[at : at + size], at + size
        else:
            raise bad_request(f"protobuf wire type {kind}")
        yield tag >> 3, value


def _message(data: bytes, name: str, fields: Fields) -> Object:
    result: Object = {}
    for number, value in _entries(data):
        if number not in fields:
            raise unsupported(f"field {number} of {name} in protobuf; kubectl apply -f and kubectl create -f send JSON")
        key, kind = fields[number]
        if kind == "skip":
            continue
        if kind in ("map", "bytemap"):
            pair = _message(value, key, _MAP if kind == "map" else _BYTE_MAP)
            result.setdefault(key, {})[pair.get("key", "")] = pair.get("value", "")
        elif kind.startswith("*"):
            result.setdefault(key, []).append(_value(value, kind[1:]))
        else:
            result[key] = _value(value, kind)
    return result


def _value(value: Any, kind: str) -> Any:
    if kind == "str":
        return value.decode()
    if kind == "bytes":
        return base64.b64encode(value).decode()
    if kind == "bool":
        return bool(value)
    if kind in ("int", "raw"):
        return value
    if kind == "IntOrString":
        found = dict(_entries(value))
        return found[3].decode() if found.get(1) else found.get(2, 0)
    return _message(value, kind, _MESSAGES[kind])
