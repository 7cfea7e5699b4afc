"""`istio`: the same questions where Istio has the same notion; `session.check` lists it where there is an Istio.

Words of our own: `istioctl analyze` has codes instead of sentences, and is about configuration more than about state.
"""

from __future__ import annotations

from typing import Any

from interceptor.kube import Forbidden, resources
from interceptor.mesh import certificates
from interceptor.mesh.certificates import BadCertificate
from interceptor.mesh.check.facts import Facts
from interceptor.mesh.check.linkerd.identity import decoded, now
from interceptor.mesh.check.linkerd.scope import CRDS, MUTATING, all_containers
from interceptor.mesh.check.model import PASSED, Category, Check, Failed, Unknown, Verdict, lines
from interceptor.mesh.podstatus import pod_status

Object = dict[str, Any]

NAMESPACE = "istio-system"
PROXY = "istio-proxy"
_ISTIOD = "app=istiod"
_RESTART = "kubectl rollout restart, of the workloads they belong to"
INJECTION, REVISION, INJECT = "istio-injection", "istio.io/rev", "sidecar.istio.io/inject"


def categories(data: str | None, *, proxies: bool) -> list[Category]:
    """The control plane, and with `proxies` the sidecars in `data`, None for all namespaces."""
    found = [_control_plane()]
    return [*found, _data_plane(data)] if proxies else found


async def present(facts: Facts) -> bool:
    """Whether anything of an Istio is to be seen."""
    try:
        return await facts.find(CRDS, None, "virtualservices.networking.istio.io") is not None
    except Forbidden:
        return False


def _control_plane() -> Category:
    async def running(facts: Facts) -> Verdict:
        pods = [pod for pod in await facts.list(resources.PODS, NAMESPACE, _ISTIOD) if _ready(pod)]
        if pods:
            return PASSED
        return Failed(
            "no pod of istiod is ready", "sidecars get no configuration and no certificates",
            f"kubectl get pods -n {NAMESPACE} -l {_ISTIOD}",
        )  # fmt: skip

    async def webhook(facts: Facts) -> Verdict:
        found = [item for item in await facts.list(MUTATING, None) if "sidecar-injector" in item["metadata"]["name"]]
        if not found:
            return Failed("there is no sidecar injector", "new pods start without a sidecar", "istioctl install")
        wrong = [
            f"* {item['metadata']['name']}: {text}"
            for item in found
            if (text := _bundle_problem(item.get("webhooks") or []))
        ]
        if not wrong:
            return PASSED
        return Failed(lines("The API server can't trust the sidecar injector:", wrong), "new pods start without a sidecar",
                      f"kubectl rollout restart deploy/istiod -n {NAMESPACE}")  # fmt: skip

    return Category(
        "istio",
        (
            Check("istiod is running", running, fatal=True, retry=True),
            Check("the sidecar injector is trusted", webhook),
        ),
    )


def _data_plane(data: str | None) -> Category:
    async def pods(facts: Facts) -> list[Object]:
        return await facts.list(resources.PODS, data)

    async def injected(facts: Facts) -> Verdict:
        namespaces = {
            item["metadata"]["name"]: item
            for item in (
                [await facts.get(resources.NAMESPACES, None, data)]
                if data
                else await facts.list(resources.NAMESPACES, None)
            )
        }
        lacking = [
            f"* {_place(pod)}"
            for pod in await pods(facts)
            if not has_proxy(pod) and pod_status(pod) == "Running"
            and wanted(namespaces.get(pod["metadata"]["namespace"], {"metadata": {}}), pod)
        ]  # fmt: skip
        if not lacking:
            return PASSED
        return Failed(lines("Some pods have no sidecar, although they should:", lacking),
                      "their traffic is not in the mesh", _RESTART)  # fmt: skip

    async def ready(facts: Facts) -> Verdict:
        unready = [f"* {_place(pod)}" for pod in await pods(facts) if has_proxy(pod) and not proxy_ready(pod)]
        if not unready:
            return PASSED
        return Failed(lines("Some sidecars are not ready:", unready), "their pods get no requests through Services",
                      "istioctl proxy-status")  # fmt: skip

    async def current(facts: Facts) -> Verdict:
        return await outdated(facts, await pods(facts))

    return Category(
        "istio-data-plane",
        (
            Check("pods that should have a sidecar have one", injected, warning=True),
            Check("sidecars are ready", ready, retry=True),
            Check("sidecars are up-to-date", current, warning=True),
        ),
    )


async def outdated(facts: Facts, pods: list[Object]) -> Verdict:
    """Whether the pods' sidecars are of istiod's version."""
    control = await facts.list(resources.PODS, NAMESPACE, _ISTIOD)
    current = {found for pod in control for item in pod["spec"]["containers"] if (found := version(item["image"]))}
    if not current:
        return Unknown("the version of istiod is not known")
    old = [
        f"* {_place(pod)} ({found})"
        for pod in pods
        for item in all_containers(pod)
        if item["name"] == PROXY and (found := version(item["image"])) and found not in current
    ]
    if not old:
        return PASSED
    return Failed(lines(f"Some sidecars are not of istiod's version {', '.join(sorted(current))}:", old),
                  "they may not understand their configuration", _RESTART)  # fmt: skip


def wanted(namespace: Object, pod: Object) -> bool:
    """Istio's rules: the pod's label or annotation first, then the namespace's labels."""
    metadata = pod["metadata"]
    own = (metadata.get("labels") or {}).get(INJECT) or (metadata.get("annotations") or {}).get(INJECT)
    if own is not None:
        return str(own) == "true"
    labels = namespace["metadata"].get("labels") or {}
    if pod["spec"].get("hostNetwork") or labels.get(INJECTION) == "disabled":
        return False
    return labels.get(INJECTION) == "enabled" or REVISION in labels


def _bundle_problem(webhooks: list[Object]) -> str:
    for webhook in webhooks:
        try:
            anchors = certificates.read_certificates(decoded(webhook["clientConfig"].get("caBundle") or ""))
        except BadCertificate as error:
            return str(error)
        for anchor in anchors:
            if text := certificates.untimely(anchor, now()):
                return text
    return ""


def has_proxy(pod: Object) -> bool:
    """Whether it has a sidecar."""
    return any(container["name"] == PROXY for container in all_containers(pod))


def proxy_ready(pod: Object) -> bool:
    """Whether its sidecar is ready, or the pod is over."""
    status = pod.get("status") or {}
    if status.get("phase") in ("Succeeded", "Failed"):
        return True
    states = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
    return any(item["name"] == PROXY and item.get("ready") for item in states)


def _ready(pod: Object) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


def version(image: str) -> str:
    """An image's version without its variant (`1.29.0-distroless`), "" where it is named by digest."""
    name = image.rpartition("/")[2]
    return "" if "@" in name else name.partition(":")[2].partition("-")[0]


def _place(pod: Object) -> str:
    return f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
