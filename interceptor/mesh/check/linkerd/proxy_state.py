"""What a proxy itself says over port-forward: its metrics, its certificate; `beyond` and `workload` judge by it."""

from __future__ import annotations

from typing import Any

from cryptography import x509

from interceptor.kube import Forbidden, NotFound, resources
from interceptor.mesh import certificates, proxy_http
from interceptor.mesh.certificates import BadCertificate, Credentials
from interceptor.mesh.check.facts import Facts
from interceptor.mesh.check.linkerd.identity import identity, now
from interceptor.mesh.check.linkerd.proxies import TRUST_ROOTS
from interceptor.mesh.check.linkerd.scope import Scope, environment, proxy_of
from interceptor.mesh.check.model import Broken
from interceptor.mesh.exposition import Sample, samples
from interceptor.mesh.proxy_http import ProxyUnreachable

Object = dict[str, Any]

MOST_ASKED = 16  # each is a port-forward through API server and kubelet: enough to see what is common to all
ANSWER = 4.0  # seconds for one proxy, less than `facts` gives a read
_READY = {"endpoint_state": "ready"}
# The identity client's balancer is empty but for the moments in which it renews: it says nothing.
_CONTROL = {"control_destination_balancer_endpoints": "destination", "control_policy_balancer_endpoints": "policy"}


def chosen(pods: list[Object]) -> list[Object]:
    """At most MOST_ASKED of the pods, every workload represented before any has a second one."""
    turns: dict[tuple[str, str], int] = {}
    ranked = []
    for pod in pods:
        owner = next((item["name"] for item in pod["metadata"].get("ownerReferences") or []), pod["metadata"]["name"])
        key = pod["metadata"]["namespace"], owner
        turns[key] = turns.get(key, 0) + 1
        ranked.append((turns[key], pod))
    return [pod for _, pod in sorted(ranked, key=lambda item: item[0])[:MOST_ASKED]]


async def metrics(facts: Facts, pod: Object) -> str:
    """A proxy's /metrics. Raises ProxyUnreachable, also for an answer without them."""
    namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]

    async def read() -> str:
        answer = await proxy_http.ask(facts.cluster, namespace, name, "/metrics", within=ANSWER)
        if answer.status != 200:
            raise ProxyUnreachable(f"/metrics answers {answer.status}")
        if not answer.body.strip():
            raise ProxyUnreachable("/metrics is empty")
        return answer.text

    return await facts.once(("metrics", namespace, name), read)


async def find_samples(facts: Facts, pod: Object, *names: str) -> list[Sample]:
    """Some of a proxy's metrics."""
    return list(samples(await metrics(facts, pod), names))


async def lost_control(facts: Facts, pod: Object) -> list[str]:
    """The parts of the control plane that a proxy has no ready endpoint of: `destination`, `policy`."""
    found = await find_samples(facts, pod, *_CONTROL)
    ready = [sample for sample in found if sample.labels.items() >= _READY.items()]
    return [_CONTROL[sample.name] for sample in ready if sample.value == 0]


async def control_problem(facts: Facts, pod: Object) -> str:
    """What a proxy lacks of its control plane."""
    lost = await lost_control(facts, pod)
    return f"no endpoint of {' and '.join(lost)}" if lost else ""


def identity_name(pod: Object) -> str:
    """The name a proxy's certificate has to have, empty where its settings don't tell."""
    proxy = proxy_of(pod)
    if proxy is None:
        return ""
    variables = environment(proxy)
    name = variables.get("LINKERD2_PROXY_IDENTITY_LOCAL_NAME", "")
    known = {
        "_pod_sa": pod["spec"].get("serviceAccountName", "default"),
        "_pod_ns": pod["metadata"]["namespace"],
        **variables,
    }
    for variable, text in known.items():
        name = name.replace(f"$({variable})", text)
    return name


async def certificate(facts: Facts, pod: Object) -> x509.Certificate:
    """What a proxy shows in a TLS handshake."""
    namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]

    async def read() -> x509.Certificate:
        return await proxy_http.certificate(facts.cluster, namespace, name, identity_name(pod), within=ANSWER)

    return await facts.once(("certificate", namespace, name), read)


async def certificate_problem(facts: Facts, scope: Scope, pod: Object) -> str:
    """What is wrong with a proxy's own certificate; its chain only where the user may read the issuer's Secret."""
    shown = await certificate(facts, pod)
    if text := certificates.untimely(shown, now()):
        return f"its certificate is {text}"
    name = identity_name(pod)
    if name and name not in certificates.dns_names(shown):
        return f"its certificate is for {', '.join(certificates.dns_names(shown)) or 'nobody'}, not for {name}"
    try:
        issuer = (await identity(facts, scope)).issuer
        roots = await facts.get(resources.CONFIGMAPS, scope.namespace, TRUST_ROOTS)
        anchors = certificates.read_certificates((roots.get("data") or {}).get("ca-bundle.crt", ""))
    except (Forbidden, NotFound, Broken, BadCertificate):
        return ""  # said by the checks of the control plane
    between = (issuer.certificate, *issuer.intermediates)
    return certificates.chain_problem(Credentials(shown, between), anchors, now(), name)
