"""`--copy`: a pod like the given one, with a debug container in it, that nobody sends to; `run` holds it. `copied` is pure.

What belongs to the original's identity stays with it: labels, so that no Service, controller, budget or policy takes the copy
for one of its own; owners; annotations but those of injectors; probes, which would restart an app that is being looked at;
ports of the node. Its own processes are shared by all containers, as `kubectl debug --copy-to` does it.
"""

from __future__ import annotations

import copy
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from interceptor.kube import Cluster, Forbidden, NotFound
from interceptor.kube.resources import PODS
from interceptor.session.debug.alive import DebugNames, session_object
from interceptor.session.debug.container import body_for, refused, wait_running
from interceptor.session.debug.options import DebugOptions
from interceptor.session.debug.place import Place, held
from interceptor.session.debug.plan import DebugPlan
from interceptor.session.events import Event, Teller
from interceptor.session.undo import Undo
from interceptor.swap import SESSION_ANNOTATION, record_of
from interceptor.workload.beside import INJECTORS, original
from interceptor.workload.debugger import new_name
from interceptor.workload.kinds import DEPLOYMENT
from interceptor.workload.names import new_session
from interceptor.workload.rollout import session_of

Object = dict[str, Any]

_NOT_COPIED = ("nodeName", "ephemeralContainers", "overhead", "schedulingGates", "subdomain")
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_NAME_ROOM = 50
GRACE = 3  # seconds for what runs in the copy to end


@asynccontextmanager
async def copying(cluster: Cluster, planned: DebugPlan, options: DebugOptions, teller: Teller) -> AsyncIterator[Place]:
    """The copy's debug container, for as long as the context lasts; then the copy is removed."""
    (pod,) = planned.pods
    namespace, source = planned.namespace, pod["metadata"]["name"]
    if session_of(pod) is not None and planned.workload is not None and record_of(planned.workload) is not None:
        # The copy of an agent would be a second agent of that session: copied is what the pod is without it.
        template = original(planned.workload)["spec"]["template"]
        pod = {**pod, "spec": template["spec"], "metadata": {**pod["metadata"], **(template.get("metadata") or {})}}
    session = new_session(planned.ref.name if planned.ref is not None else source)
    names = DebugNames(session, namespace, source, planned.ref.kind if planned.ref is not None else DEPLOYMENT)
    name = f"{source[:_NAME_ROOM].rstrip('-.')}-debug-{session.rpartition('-')[2]}"
    undo = Undo()
    began = time.monotonic()
    async with session_object(cluster, names, planned.title, teller, undo) as owner:

        async def remove() -> None:
            try:
                await cluster.delete(PODS, namespace, name, grace=GRACE)
            except NotFound:
                return  # never created, or the cluster was faster
            teller.tell(Event("restored", f"the copy {name} is removed", details={"pod": name}))

        container = new_name()
        body, notes = copied(pod, name, owner, names.labels, body_for(pod, options, container))
        for note in notes:
            teller.tell(Event("note", note))
        undo.add(f"pod {name}", remove)
        with teller.busy(f"starting a copy of pod {source}"):
            try:
                await cluster.create(PODS, namespace, body)
            except Forbidden as error:
                raise refused(error, body, container, options) from error
            await wait_running(cluster, namespace, name, container, options.chosen_image)
        text = f"pod {name} is a copy of {source} that no Service sends to; it is removed at the end"
        teller.tell(Event("ready", text, time.monotonic() - began, {"pod": name, "copy_of": source}))
        place = Place(cluster, namespace, name, container, options.chosen_image)
        async with held(place):
            yield place


def copied(
    pod: Object, name: str, owner: Object, labels: dict[str, str], container: Object
) -> tuple[Object, list[str]]:
    """The pod to be created, and what is worth saying about it."""
    spec: Object = {key: copy.deepcopy(value) for key, value in pod["spec"].items() if key not in _NOT_COPIED}
    notes: list[str] = []
    for item in [*spec["containers"], *(spec.get("initContainers") or [])]:
        for probe in _PROBES:
            if not (probe == "startupProbe" and item.get("restartPolicy") == "Always"):
                item.pop(probe, None)
        taken = [port for port in item.get("ports") or [] if port.pop("hostPort", None) is not None]
        if taken and not spec.get("hostNetwork"):
            notes.append(f"container {item['name']} of the copy has no port of its node: the original has it")
    spec["containers"].append(container)
    if not spec.get("hostPID"):
        spec["shareProcessNamespace"] = True
    spec["terminationGracePeriodSeconds"] = GRACE
    volumes = spec.get("volumes") or []
    claims = [item["persistentVolumeClaim"]["claimName"] for item in volumes if "persistentVolumeClaim" in item]
    node = pod["spec"].get("nodeName")
    if claims and node:  # a volume that one node only may have is there already
        spec["nodeName"] = node
        notes.append(
            f"the copy uses the same claims ({', '.join(claims)}), on the same node: what it writes is written"
        )
    kept = {
        kind: {
            key: value
            for key, value in (pod["metadata"].get(kind) or {}).items()
            if key.startswith(INJECTORS) and key != SESSION_ANNOTATION
        }
        for kind in ("labels", "annotations")
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": pod["metadata"]["namespace"],
            "labels": {**kept["labels"], **labels},
            "annotations": kept["annotations"],
            "ownerReferences": [owner],
        },
        "spec": spec,
    }, notes
