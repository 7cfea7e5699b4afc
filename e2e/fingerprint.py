"""What must be the same before and after: the objects of a namespace, and what a run left on this machine."""

import json
import re
import time
from pathlib import Path
from typing import Any

from e2e.api import Api

Object = dict[str, Any]
KINDS = (
    ("v1", "configmaps"),
    ("v1", "endpoints"),
    ("v1", "pods"),
    ("v1", "secrets"),
    ("v1", "serviceaccounts"),
    ("v1", "services"),
    ("apps/v1", "controllerrevisions"),
    ("apps/v1", "daemonsets"),
    ("apps/v1", "deployments"),
    ("apps/v1", "replicasets"),
    ("apps/v1", "statefulsets"),
    ("autoscaling/v2", "horizontalpodautoscalers"),
    ("batch/v1", "cronjobs"),
    ("batch/v1", "jobs"),
    ("coordination.k8s.io/v1", "leases"),
    ("discovery.k8s.io/v1", "endpointslices"),
    ("networking.k8s.io/v1", "networkpolicies"),
    ("policy/v1", "poddisruptionbudgets"),
    ("rbac.authorization.k8s.io/v1", "rolebindings"),
    ("rbac.authorization.k8s.io/v1", "roles"),
)
MOVING = ("uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "selfLink")
COUNTED = (
    "deployment.kubernetes.io/revision",
    "deprecated.daemonset.template.generation",
    "endpoints.kubernetes.io/last-change-trigger-time",
)
TOKEN_VOLUME = re.compile(r"kube-api-access-\w+")  # of a bare pod made anew
KEPT = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet")  # each field of theirs goes back to who set it
OURS = ("interceptor", "interceptor-agent")
GIVEN = ("nodeName", "serviceAccount", "tolerations", "volumes")  # of a bare pod: written by admission and scheduler


def still(found: Object) -> Object:
    """An object without what the cluster itself counts up: exactly what somebody wrote."""
    if found["kind"] == "EndpointSlice":  # addresses come and go with pods; the ports are promised
        return {"ports": found.get("ports")}
    if found["kind"] == "Endpoints":
        return {"ports": [part.get("ports") for part in found.get("subsets") or ()]}
    metadata = {k: v for k, v in found["metadata"].items() if k not in MOVING}
    metadata["annotations"] = {k: v for k, v in metadata.get("annotations", {}).items() if k not in COUNTED}
    content = {**{k: v for k, v in found.items() if k != "status"}, "metadata": metadata}
    if found["kind"] in KEPT:
        content["owned by us"] = sorted(
            entry["manager"] for entry in found["metadata"].get("managedFields", ()) if entry["manager"] in OURS
        )
    return content


def counts(found: Object) -> bool:
    """Whether an object is somebody's: pods of a workload come and go, and so do the harness's own (no label)."""
    return found["kind"] != "Pod" or (bool(found["metadata"].get("labels")) and not controlled(found))


def controlled(found: Object) -> bool:
    return any(owner.get("controller") for owner in found["metadata"].get("ownerReferences", ()))


def text_of(found: Object) -> str:
    # A rollout's history counts too, but its numbers are the cluster's own: its name is the template's hash.
    if found["kind"] in {"ReplicaSet", "ControllerRevision"} and controlled(found):
        return ""
    content = still(found)
    if found["kind"] == "Pod":
        content["spec"] = {k: v for k, v in content["spec"].items() if k not in GIVEN}
    return TOKEN_VOLUME.sub("kube-api-access", json.dumps(content, sort_keys=True, indent=1))


def fingerprint(api: Api, namespace: str) -> dict[str, str]:
    """Every object of the namespace by kind and name, as text that is equal only if all of it is."""
    found = [one for group, plural in KINDS for one in api.items(group, plural, namespace)]
    return {f"{one['kind']}/{one['metadata']['name']}": text_of(one) for one in found if counts(one)}


def settled(api: Api, namespace: str, within: float) -> dict[str, str]:
    """The same, once the cluster has finished what was begun before."""
    deadline = time.monotonic() + within
    while moving := unsettled(api, namespace):
        assert time.monotonic() < deadline, moving
        time.sleep(0.2)
    return fingerprint(api, namespace)


def unsettled(api: Api, namespace: str) -> str:
    """What still moves: a pod on its way out, or a Service whose endpoints are not yet its ready pods. Empty: nothing."""
    pods = api.items("v1", "pods", namespace)
    if ending := [pod["metadata"]["name"] for pod in pods if "deletionTimestamp" in pod["metadata"]]:
        return f"pods end: {', '.join(ending)}"
    endpoints = {one["metadata"]["name"]: one for one in api.items("v1", "endpoints", namespace)}
    slices = api.items("discovery.k8s.io/v1", "endpointslices", namespace)
    for service in api.items("v1", "services", namespace):
        name, selector = service["metadata"]["name"], service["spec"].get("selector")
        if not selector or service["spec"].get("publishNotReadyAddresses"):
            continue
        wanted = {
            pod["status"]["podIP"]
            for pod in pods
            if selector.items() <= pod["metadata"].get("labels", {}).items() and _ready(pod)
        }
        parts = endpoints.get(name, {}).get("subsets") or ()
        told = {address["ip"] for part in parts for address in part.get("addresses") or ()}
        sliced = {
            address
            for one in slices
            if one["metadata"].get("labels", {}).get("kubernetes.io/service-name") == name
            for endpoint in one.get("endpoints") or ()
            if (endpoint.get("conditions") or {}).get("ready")
            for address in endpoint["addresses"]
        }
        if not wanted == told == sliced:
            return f"service {name}: pods {sorted(wanted)}, endpoints {sorted(told)}, slices {sorted(sliced)}"
    return ""


def _ready(pod: Object) -> bool:
    conditions = pod["status"].get("conditions", ())
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def without_history(objects: dict[str, str], before: dict[str, str]) -> dict[str, str]:
    """Leave out ReplicaSets that were not there before."""
    return {k: v for k, v in objects.items() if k in before or not k.startswith("ReplicaSet/")}


def difference(before: dict[str, str], after: dict[str, str]) -> str:
    """The objects that are new, gone or changed, with their changed lines; empty when all is as it was."""
    told = []
    for name in sorted({*before, *after}):
        if before.get(name) != after.get(name):
            old, new = before.get(name, "").splitlines(), after.get(name, "").splitlines()
            word = "new" if name not in before else "gone" if name not in after else "changed"
            lines = [f"   -{line}" for line in old if line not in new] + [
                f"   +{line}" for line in new if line not in old
            ]
            told.append("\n".join([f"{word}: {name}", *(lines if word == "changed" else [])]))
    return "\n".join(told)


def marked(marker: str) -> dict[int, str]:
    """Processes on this machine that carry the marker of a test in their environment."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if marker.encode() in (folder / "environ").read_bytes():
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if command:  # a zombie has none
                    found[int(folder.name)] = command.strip()
        except OSError:
            continue  # it ended meanwhile, or is not ours to read
    return found


def machine(*folders: Path) -> dict[str, str]:
    """Of this machine: the files below `folders`, network links, routes and mounts.

    Sockets are their processes' (`marked`). What a cluster on the same machine does for its pods is left out.
    """
    found = {f"file {path}": "" for folder in folders for path in folder.rglob("*")}
    found |= {f"link {link.name}": "" for link in Path("/sys/class/net").glob("*") if not _of_a_pod(link.name)}
    for table in ("route", "ipv6_route"):
        lines = Path(f"/proc/net/{table}").read_text().splitlines() if Path(f"/proc/net/{table}").exists() else []
        for fields in (line.split() for line in lines):
            interface = fields[0] if table == "route" else fields[-1]
            # Without the counters of uses, which move.
            rest = [fields[n] for n in ((1, 2, 7) if table == "route" else (0, 1, 4))]
            if not _of_a_pod(interface):
                found[f"{table} {interface} {' '.join(rest)}"] = ""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        target = line.split()[4]
        if not target.startswith(("/var/lib/", "/run/", "/tmp/")) and "/run/" not in target:
            found[f"mount {target}"] = ""
    return found


def _of_a_pod(interface: str) -> bool:
    return interface.startswith(("veth", "cni", "cali", "lxc"))
