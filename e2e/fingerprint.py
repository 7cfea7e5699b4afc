"""What must be the same before and after: the objects of a namespace, and what a run left on this machine."""

import json
from pathlib import Path
from typing import Any

from e2e.kubectl import Kubectl

Object = dict[str, Any]
KINDS = (
    "deployments,statefulsets,daemonsets,jobs,cronjobs,services,secrets,configmaps,roles,rolebindings,"
    "serviceaccounts,leases,endpointslices,networkpolicies,poddisruptionbudgets"
)
MOVING = ("uid", "resourceVersion", "generation", "creationTimestamp", "managedFields", "selfLink")
COUNTED = "deployment.kubernetes.io/revision"  # the cluster's own counter of rollouts


def still(found: Object) -> Object:
    """An object without what the cluster itself counts up: exactly what somebody wrote."""
    if found["kind"] == "EndpointSlice":  # addresses come and go with pods; the ports are promised
        return {"ports": found.get("ports")}
    metadata = {k: v for k, v in found["metadata"].items() if k not in MOVING}
    metadata["annotations"] = {k: v for k, v in metadata.get("annotations", {}).items() if k != COUNTED}
    return {**{k: v for k, v in found.items() if k != "status"}, "metadata": metadata}


def fingerprint(kubectl: Kubectl) -> dict[str, str]:
    """Every object of the namespace by kind and name, as text that is equal only if all of it is."""
    objects = {
        f"{found['kind']}/{found['metadata']['name']}": json.dumps(still(found), sort_keys=True, indent=1)
        for found in kubectl.items(KINDS)
    }
    # A rollout's history counts too, but a ReplicaSet's numbers are the cluster's own: its name is the template's hash.
    return objects | {f"ReplicaSet/{found['metadata']['name']}": "" for found in kubectl.items("replicasets")}


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
