"""What is stored is what was written plus defaults minus empty fields. `stored.json` is a real cluster's answer (1.34).

Recorded anew with `INTERCEPTOR_CONTRACT_RECORD=1` and a real cluster. Dry runs: nothing is created.
"""

from __future__ import annotations

import copy
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from tests.contract.api import Api, Object

_GOLDEN = Path(__file__).with_name("stored.json")
_PROBES = {
    "livenessProbe": {"httpGet": {"port": 8080}},
    "readinessProbe": {"tcpSocket": {"port": "http"}, "periodSeconds": 3, "initialDelaySeconds": 0},
    "startupProbe": {"grpc": {"port": 9000}, "failureThreshold": 30},
}
_ENV: list[Object] = [
    {"name": "A", "value": "1"},
    {"name": "EMPTY", "value": ""},
    {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
    {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
]
_VOLUMES: list[Object] = [
    {"name": "none"},
    {"name": "config", "configMap": {"name": "c"}},
    {"name": "secret", "secret": {"secretName": "s", "items": [{"key": "a", "path": "b"}]}},
    {"name": "host", "hostPath": {"path": "/tmp"}},
    {"name": "down", "downwardAPI": {"items": [{"path": "l", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
    {"name": "all", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}, {"configMap": {"name": "c"}}]}},
]
_FULL: Object = {
    "name": "app", "image": "registry.example/app:1.2", "env": _ENV, "command": [], "workingDir": "", "tty": False,
    "ports": [{"name": "http", "containerPort": 8080}, {"containerPort": 53, "protocol": "UDP"}],
    "envFrom": [{"configMapRef": {"name": "c"}}], "resources": {"limits": {"cpu": "500m"}, "requests": {}},
    "lifecycle": {"preStop": {"httpGet": {"port": 8080, "path": "/bye"}}},
    "volumeMounts": [{"name": "config", "mountPath": "/c", "readOnly": False, "subPath": ""}],
    "securityContext": {"runAsNonRoot": False, "capabilities": {"drop": ["ALL"]}}, **_PROBES,
}  # fmt: skip


def _template(*containers: Object, **spec: Any) -> Object:
    return {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [*containers], **spec}}


def _plain(image: str) -> Object:
    return {"name": "app", "image": image}


CASES: dict[str, tuple[str, str, Object]] = {
    "deployment_bare": ("deployments", "apps/v1", {
        "metadata": {"name": "x"}, "spec": {"selector": {"matchLabels": {"app": "x"}}, "template": _template(_plain("a"))},
    }),
    "deployment_full": ("deployments", "apps/v1", {
        "metadata": {"name": "x", "annotations": {}, "labels": {"a": ""}},
        "spec": {
            "replicas": 0, "selector": {"matchLabels": {"app": "x"}}, "strategy": {"type": "Recreate"}, "paused": False,
            "minReadySeconds": 0,
            "template": _template(
                _FULL, _plain("b:latest") | {"name": "side"}, volumes=_VOLUMES,
                initContainers=[_plain("c@sha256:" + "0" * 64) | {"name": "init"}],
                serviceAccountName="me", nodeSelector={}, tolerations=[], hostNetwork=False, enableServiceLinks=False,
                securityContext={"runAsUser": 0}, terminationGracePeriodSeconds=0, imagePullSecrets=[{"name": "pull"}],
            ),
        },
    }),
    "deployment_surge": ("deployments", "apps/v1", {
        "metadata": {"name": "x"},
        "spec": {
            "selector": {"matchLabels": {"app": "x"}}, "template": _template(_plain("a:1")),
            "strategy": {"rollingUpdate": {"maxSurge": 1}}, "revisionHistoryLimit": 0, "progressDeadlineSeconds": 5,
        },
    }),
    "job": ("jobs", "batch/v1", {
        "metadata": {"name": "x"},
        "spec": {"parallelism": 0, "activeDeadlineSeconds": 60, "ttlSecondsAfterFinished": 0,
                 "template": _template(_plain("a:1"), restartPolicy="Never")},
    }),
    "service": ("services", "v1", {
        "metadata": {"name": "x"},
        "spec": {
            "selector": {"app": "x"},
            "ports": [{"port": 80, "name": "a"}, {"port": 81, "targetPort": "http", "name": "b"}],
        },
    }),
    "headless": ("services", "v1", {
        "metadata": {"name": "x"},
        "spec": {"clusterIP": "None", "selector": {"app": "x"}, "ports": [{"port": 80, "targetPort": 8080}]},
    }),
    "pod": ("pods", "v1", {"metadata": {"name": "x"}, "spec": {"containers": [_FULL | {"volumeMounts": []}]}}),
    "secret": ("secrets", "v1", {"metadata": {"name": "x"}, "stringData": {"a": "b"}, "data": {"c": "ZA=="}}),
    "config": ("configmaps", "v1", {"metadata": {"name": "x"}, "data": {"a": ""}, "binaryData": {}}),
    "role": ("roles", "rbac.authorization.k8s.io/v1", {
        "metadata": {"name": "x"},
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"], "resourceNames": []}],
    }),
    "binding": ("rolebindings", "rbac.authorization.k8s.io/v1", {
        "metadata": {"name": "x"}, "roleRef": {"kind": "Role", "name": "x"},
        "subjects": [{"kind": "ServiceAccount", "name": "a", "namespace": "b"}, {"kind": "User", "name": "c"}],
    }),
    "lease": ("leases", "coordination.k8s.io/v1", {
        "metadata": {"name": "x"},
        "spec": {"holderIdentity": "me", "leaseDurationSeconds": 15, "renewTime": "2026-01-01T00:00:00.000000Z"},
    }),
    "account": ("serviceaccounts", "v1", {"metadata": {"name": "x"}, "automountServiceAccountToken": False}),
    "budget": ("poddisruptionbudgets", "policy/v1", {
        "metadata": {"name": "x"}, "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "x"}}},
    }),
    "autoscaler": ("horizontalpodautoscalers", "autoscaling/v2", {
        "metadata": {"name": "x"},
        "spec": {"maxReplicas": 3, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x"}},
    }),
}  # fmt: skip


def comparable(obj: Object) -> Object:
    """Without what is each cluster's or each run's own."""
    obj = copy.deepcopy(obj)
    metadata, uid = obj["metadata"], obj["metadata"].get("uid", "-")
    for name in ("uid", "creationTimestamp", "namespace", "resourceVersion", "managedFields"):
        metadata.pop(name, None)
    if obj["kind"] == "Service" and obj["spec"]["clusterIP"] != "None":
        obj["spec"]["clusterIP"], obj["spec"]["clusterIPs"] = "IP", ["IP"]
    if obj["kind"] == "Pod":
        obj["spec"].pop("nodeName", None)  # scheduled at once here, a moment later there
    text = json.dumps(obj, sort_keys=True).replace(uid, "UID")
    found: Object = json.loads(re.sub(r"kube-api-access-\w{5}", "kube-api-access-XXXXX", text))
    bare: Object = _without_nulls(found)
    return bare


def _without_nulls(value: Any) -> Any:
    """Whether an absent field is spelled null differs between versions (`creationTimestamp` in templates)."""
    if isinstance(value, dict):
        return {key: _without_nulls(inner) for key, inner in value.items() if inner is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("case", CASES)
async def test_stored_as_in_kubernetes(api: Api, case: str) -> None:
    plural, group, body = CASES[case]
    path = api.path(plural, group="" if group == "v1" else group)
    stored = comparable(await api.ok("POST", path, body, dryRun="All"))
    golden = json.loads(_GOLDEN.read_text()) if _GOLDEN.exists() else {}
    if os.environ.get("INTERCEPTOR_CONTRACT_RECORD") and "127." not in api.server:
        golden[case] = stored
        _GOLDEN.write_text(json.dumps(golden, indent=1, sort_keys=True) + "\n")
    assert stored == _without_nulls(golden[case])
