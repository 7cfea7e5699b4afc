"""The look before `run` starts a pod: from options to a plan, or to the error that says why not; `run` calls it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from interceptor.kube import Cluster, Forbidden, NotFound
from interceptor.kube.resources import CLAIMS
from interceptor.session.options import RunOptions
from interceptor.session.places import check_mounts
from interceptor.session.plan import OWN, Plan, choose_agent, swap_plan
from interceptor.workload import allowed, beside, objects, rights, target
from interceptor.workload.beside import Beside, RunNames
from interceptor.workload.inspect import inspect
from interceptor.workload.kinds import kind_of, ref_of, title_of
from interceptor.workload.names import new_session
from interceptor.workload.podlist import list_pods
from interceptor.workload.ports import free_ports
from interceptor.workload.role import role, yaml_of

Object = dict[str, Any]


@dataclass(frozen=True)
class RunPlan:
    """Everything decided, nothing done. `plan` is what it has in common with an intercept's."""

    plan: Plan
    names: RunNames
    modes: dict[str, list[str]]
    node: str | None
    labels: dict[str, str]

    def pod(self, owner: Object) -> Beside:
        """The pod to be created."""
        return beside.beside(
            self.names,
            owner,
            self.plan.workload,
            self.plan.swap,
            modes=self.modes,
            node=self.node,
            labels=self.labels,
        )


async def look(cluster: Cluster, options: RunOptions) -> RunPlan:
    """Find the workload and ask its container; raises the first thing that stands in the way."""
    namespace = cluster.namespace
    workload = beside.original(await target.resolve(cluster, namespace, options.target))
    name, kind = workload["metadata"]["name"], kind_of(workload)
    container = target.choose_container(workload, options.container)
    ref = ref_of(workload, namespace)
    wanted = rights.needed_beside(kind, name, claims=bool(beside.claims_of(workload)))
    async with asyncio.TaskGroup() as group:
        lacking = group.create_task(allowed.missing(cluster, namespace, wanted), name="read rights")
        facts = group.create_task(inspect(cluster, ref, workload, container), name="ask the container")
        pods = group.create_task(list_pods(cluster, ref, workload), name="list pods")
        modes = group.create_task(_modes(cluster, namespace, beside.claims_of(workload)), name="read claims")
    required = [right for right in lacking.result() if right.required]
    if required and not options.dry_run:
        raise allowed.MissingRights(namespace, required, rbac=f"--for {title_of(workload)}")
    check_mounts(options.home, workload, pods.result(), container)
    session = new_session(name)
    names = RunNames(session, namespace, name, kind)
    tunnel_port, health_port = free_ports(workload, 2)
    image, python = choose_agent(options.agent_image, facts.result())
    plan = Plan(
        names,
        workload,
        swap_plan(names, container, health_port, image, python),
        (),
        facts.result(),
        tunnel_port,
        (),
        False,
        tuple(wanted),
        tuple(lacking.result()),
        False,
    )
    return RunPlan(plan, names, modes.result(), _node(pods.result()), dict(options.labels))


def dry_run(planned: RunPlan) -> dict[str, list[object]]:
    """What would be written and what is missing, for a person or a program to read."""
    names = planned.names
    owner = {"name": names.object, "kind": "Job", "apiVersion": "batch/v1"}
    secret = {"kind": "Secret", "metadata": {"name": names.object}, "type": "Opaque"}
    keys = {"keys": ["agent.pyz", "ca.crt", "config.json", "tls.crt", "tls.key", "token"]}
    return {
        "objects to be created": [objects.job(names, 10), secret | keys, planned.pod(owner).pod],
        "missing rights": [
            f"{right}" + ("" if right.required else f" (optional: {right.use})") for right in planned.plan.lacking
        ],
        "the Role that allows all of it": [
            *yaml_of([role(planned.plan.wanted, names.lease, names.namespace)]).splitlines()
        ],
    }


def details_of(planned: RunPlan) -> dict[str, object]:
    """The fields of the JSON line."""
    swap, names = planned.plan.swap, planned.names
    return {
        "namespace": names.namespace,
        "workload": planned.plan.title,
        "container": swap.container,
        "session": names.session,
        "pod": names.object,
        "agent_image": swap.image or OWN,
    }


def describe(planned: RunPlan) -> str:
    """One line of words."""
    swap = planned.plan.swap
    image = swap.image or "the container's own image"
    return f"a pod beside {planned.plan.title}, like its container {swap.container}; agent in {image}"


def _node(pods: list[Object]) -> str | None:
    """Where a pod of the workload runs."""
    for pod in pods:
        node = pod["spec"].get("nodeName")
        if node and (pod.get("status") or {}).get("phase") == "Running" and "deletionTimestamp" not in pod["metadata"]:
            return str(node)
    return None


async def _modes(cluster: Cluster, namespace: str, claims: list[str]) -> dict[str, list[str]]:
    """The access modes of claims, as far as they may be read."""
    found: dict[str, list[str]] = {}
    for name in claims:
        try:
            claim = await cluster.get(CLAIMS, namespace, name)
        except (Forbidden, NotFound):
            found[name] = ["ReadWriteOnce"]  # the usual one, and going to its node never hurts the others
        else:
            found[name] = list(claim["spec"].get("accessModes") or [])
    return found
