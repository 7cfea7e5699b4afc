"""Whose address it is: pods and their workloads by address, so that `tap` can say who asks and not only from where."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from interceptor.kube import ApiError, Cluster, Forbidden, Unreachable
from interceptor.kube.resources import PODS

AGAIN = 5.0  # seconds before the pods are listed again for an address that nobody has

_SHORT = {"Deployment": "deploy", "StatefulSet": "sts", "DaemonSet": "ds", "ReplicaSet": "rs", "Job": "job"}
_LABELLED = {
    "deployment": "deploy", "statefulset": "sts", "daemonset": "ds", "replicaset": "rs", "k8s_job": "job",
    "cronjob": "cronjob", "replicationcontroller": "replicationcontroller",
}  # fmt: skip


@dataclass(frozen=True)
class Caller:
    """A pod, and the workload it belongs to ("" for none)."""

    pod: str
    namespace: str
    workload: str = ""  # deploy/web

    @property
    def title(self) -> str:
        """As people name it."""
        return f"{self.workload or 'pod/' + self.pod}.{self.namespace}"


class Callers:
    """Looks addresses up, in one list of pods that is fetched again when an address is not in it."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._by_address: dict[str, Caller] = {}
        self._listed = float("-inf")
        self._everywhere = True
        self.note = ""  # why callers stay unknown

    def known(self, address: str) -> Caller | None:
        """What is known of an address now."""
        return self._by_address.get(address)

    async def find(self, address: str) -> Caller | None:
        """Look in the cluster too, if that is worth it."""
        if address not in self._by_address and time.monotonic() - self._listed > AGAIN:
            await self._list()
        return self._by_address.get(address)

    async def _list(self) -> None:
        self._listed = time.monotonic()
        try:
            pods = await self._pods()
        except (ApiError, Unreachable) as error:
            self.note = f"callers are shown by address only: {error.message}"
            return
        self._by_address = {
            address["ip"]: caller_of(pod)
            for pod in pods
            if not pod["spec"].get("hostNetwork")  # it has its node's address, as others do
            and (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")
            for address in (pod.get("status") or {}).get("podIPs") or []
        }

    async def _pods(self) -> list[dict[str, Any]]:
        if self._everywhere:
            try:
                return (await self._cluster.list(PODS, None)).items
            except Forbidden:
                self._everywhere = False
                self.note = f"callers outside of namespace {self._cluster.namespace} are shown by address only"
        return (await self._cluster.list(PODS, self._cluster.namespace)).items


def caller_labelled(labels: Mapping[str, str]) -> Caller | None:
    """A pod as Linkerd's labels name it; None where they name no pod."""
    pod = labels.get("pod")
    if not pod:
        return None
    kind = next((kind for kind in _LABELLED if labels.get(kind)), None)
    workload = f"{_LABELLED[kind]}/{labels[kind]}" if kind is not None else ""
    return Caller(pod, labels.get("namespace", ""), workload)


def caller_of(pod: dict[str, Any]) -> Caller:
    """A pod as a caller."""
    metadata = pod["metadata"]
    owner = next((one for one in metadata.get("ownerReferences") or [] if one.get("controller")), None)
    workload = ""
    if owner is not None:
        kind, name = owner["kind"], owner["name"]
        template = (metadata.get("labels") or {}).get("pod-template-hash")
        if kind == "ReplicaSet" and template and name.endswith(f"-{template}"):
            kind, name = "Deployment", name.removesuffix(f"-{template}")
        workload = f"{_SHORT.get(kind, kind.lower())}/{name}"
    return Caller(metadata["name"], metadata["namespace"], workload)
