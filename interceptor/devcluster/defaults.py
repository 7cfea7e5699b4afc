"""The defaults the API server writes into what it stores, kind by kind; called by `registry`. Changes objects in place.

Source: the defaulting functions of Kubernetes 1.34 (core, apps, batch, autoscaling, rbac), checked by the contract
suite, which stores the same objects in both and compares.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from interceptor.devcluster.objects import Object, uid_of

_FILE_MODE = 0o644


def _image_pull_policy(image: str) -> str:
    if "@" in image:
        return "IfNotPresent"
    tag = image.rpartition("/")[2].partition(":")[2]
    return "Always" if tag in ("", "latest") else "IfNotPresent"


def _http_get(action: Object | None) -> None:
    if action is not None:
        action.setdefault("path", "/")
        action.setdefault("scheme", "HTTP")


def _probe(probe: Object | None) -> None:
    if probe is None:
        return
    for field, value in (
        ("timeoutSeconds", 1),
        ("periodSeconds", 10),
        ("successThreshold", 1),
        ("failureThreshold", 3),
    ):
        if not probe.get(field):
            probe[field] = value
    _http_get(probe.get("httpGet"))
    if "grpc" in probe:
        probe["grpc"].setdefault("service", "")


def _field_ref(source: Object | None) -> None:
    if source is not None and "fieldRef" in source:
        source["fieldRef"].setdefault("apiVersion", "v1")
    if source is not None and "resourceFieldRef" in source:
        source["resourceFieldRef"].setdefault("divisor", "0")


def _container(container: Object) -> None:
    container.setdefault("imagePullPolicy", _image_pull_policy(container.get("image", "")))
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    container.setdefault("resources", {})
    for port in container.get("ports") or ():
        port.setdefault("protocol", "TCP")
    for entry in container.get("env") or ():
        _field_ref(entry.get("valueFrom"))
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        _probe(container.get(name))
    for hook in (container.get("lifecycle") or {}).values():
        _http_get(hook.get("httpGet"))


def _volume(volume: Object) -> None:
    if set(volume) == {"name"}:
        volume["emptyDir"] = {}
    for kind in ("secret", "configMap", "downwardAPI", "projected"):
        if kind in volume:
            volume[kind].setdefault("defaultMode", _FILE_MODE)
    if "hostPath" in volume:
        volume["hostPath"].setdefault("type", "")
    projected = volume.get("projected", {}).get("sources") or ()
    for source in projected:
        if "serviceAccountToken" in source:
            source["serviceAccountToken"].setdefault("expirationSeconds", 3600)
    for source in [volume, *projected]:
        for item in (source.get("downwardAPI") or {}).get("items") or ():
            _field_ref(item)


def pod_spec(spec: Object) -> None:
    """Default a pod spec, in a template or in a pod."""
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("schedulerName", "default-scheduler")
    spec.setdefault("securityContext", {})
    spec.setdefault("terminationGracePeriodSeconds", 30)
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if account:  # the old name is kept beside the new one
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    for container in [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]:
        _container(container)
    for volume in spec.get("volumes") or ():
        _volume(volume)


def _pod(obj: Object) -> None:
    spec = obj["spec"]
    pod_spec(spec)
    spec.setdefault("enableServiceLinks", True)
    for container in [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]:
        resources = container["resources"]
        for name, value in (resources.get("limits") or {}).items():
            resources.setdefault("requests", {}).setdefault(name, value)


def _deployment(obj: Object) -> None:
    spec = obj["spec"]
    spec.setdefault("replicas", 1)
    spec.setdefault("revisionHistoryLimit", 10)
    spec.setdefault("progressDeadlineSeconds", 600)
    strategy = spec.setdefault("strategy", {})
    strategy.setdefault("type", "RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxSurge", "25%")
        rolling.setdefault("maxUnavailable", "25%")
    pod_spec(spec["template"]["spec"])


def _replicaset(obj: Object) -> None:
    obj["spec"].setdefault("replicas", 1)
    if "template" in obj["spec"]:
        pod_spec(obj["spec"]["template"]["spec"])


def _job(obj: Object) -> None:
    spec = obj["spec"]
    if "completions" not in spec and "parallelism" not in spec:
        spec["completions"] = 1
    spec.setdefault("parallelism", 1)
    spec.setdefault("backoffLimit", 6)
    spec.setdefault("completionMode", "NonIndexed")
    spec.setdefault("suspend", False)
    spec.setdefault("podReplacementPolicy", "TerminatingOrFailed")
    spec.setdefault("manualSelector", False)
    pod_spec(spec["template"]["spec"])


def job_identity(obj: Object) -> None:
    """Write the selector and labels a new Job gets from its uid."""
    if obj["spec"].get("manualSelector"):
        return
    uid, name = uid_of(obj), obj["metadata"]["name"]
    labels = {
        "batch.kubernetes.io/controller-uid": uid,
        "batch.kubernetes.io/job-name": name,
        "controller-uid": uid,
        "job-name": name,
    }
    template = obj["spec"]["template"].setdefault("metadata", {})
    template["labels"] = (template.get("labels") or {}) | labels
    obj["spec"]["selector"] = {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}}
    obj["metadata"].setdefault("labels", dict(template["labels"]))


def _service(obj: Object) -> None:
    spec = obj["spec"]
    spec.setdefault("type", "ClusterIP")
    spec.setdefault("sessionAffinity", "None")
    if spec["type"] == "ExternalName":
        return
    spec.setdefault("internalTrafficPolicy", "Cluster")
    spec.setdefault("ipFamilies", ["IPv4"])
    spec.setdefault("ipFamilyPolicy", "SingleStack")
    for port in spec.get("ports") or ():
        port.setdefault("protocol", "TCP")
        port.setdefault("targetPort", port["port"])


def _secret(obj: Object) -> None:
    obj.setdefault("type", "Opaque")
    for key, text in (obj.pop("stringData", None) or {}).items():
        obj.setdefault("data", {})[key] = base64.b64encode(str(text).encode()).decode()


def _namespace(obj: Object) -> None:
    obj["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = obj["metadata"]["name"]
    obj.setdefault("spec", {}).setdefault("finalizers", ["kubernetes"])
    obj.setdefault("status", {}).setdefault("phase", "Active")


def _binding(obj: Object) -> None:
    group = "rbac.authorization.k8s.io"
    obj["roleRef"].setdefault("apiGroup", group)
    for subject in obj.get("subjects") or ():
        if subject["kind"] in ("User", "Group"):
            subject.setdefault("apiGroup", group)


def _autoscaler(obj: Object) -> None:
    obj["spec"].setdefault("minReplicas", 1)
    target = {"type": "Utilization", "averageUtilization": 80}
    obj["spec"].setdefault("metrics", [{"type": "Resource", "resource": {"name": "cpu", "target": target}}])


def _event(obj: Object) -> None:
    obj.setdefault("reportingComponent", "")
    obj.setdefault("reportingInstance", "")


_BY_KIND: dict[str, Callable[[Any], None]] = {
    "Pod": _pod,
    "Deployment": _deployment,
    "ReplicaSet": _replicaset,
    "Job": _job,
    "Service": _service,
    "Secret": _secret,
    "Namespace": _namespace,
    "RoleBinding": _binding,
    "ClusterRoleBinding": _binding,
    "HorizontalPodAutoscaler": _autoscaler,
    "Event": _event,
}


_STATUS: dict[str, Object] = {
    "Deployment": {}, "Job": {}, "ReplicaSet": {"replicas": 0}, "Service": {"loadBalancer": {}},
    "PodDisruptionBudget": {"currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 0},
    "HorizontalPodAutoscaler": {"desiredReplicas": 0},
}  # fmt: skip


def first_status(obj: Object) -> None:
    """Write the status a new object has: its zero values that Go spells out."""
    if obj["kind"] in _STATUS:
        obj["status"] = dict(_STATUS[obj["kind"]])


def default(obj: Object) -> None:
    """Write the defaults of the object's kind into it."""
    if fill := _BY_KIND.get(obj["kind"]):
        fill(obj)
