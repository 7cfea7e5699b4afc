"""`authorization`: whether the mesh's policies let anybody in at all, and whether what they refer to exists."""

from __future__ import annotations

from typing import Any

from interceptor.kube import Resource, resources
from interceptor.mesh.check.facts import Facts
from interceptor.mesh.check.model import PASSED, Category, Check, Failed, Verdict, lines
from interceptor.mesh.check.workload import routing
from interceptor.mesh.check.workload.meshed import default_policy
from interceptor.mesh.check.workload.network import selected
from interceptor.mesh.check.workload.subject import Subject, name, targets

Object = dict[str, Any]

_GROUP = "policy.linkerd.io"
AUTHORIZATION_POLICIES = Resource(f"{_GROUP}/v1alpha1", "authorizationpolicies", "AuthorizationPolicy")
SERVER_AUTHORIZATIONS = Resource(f"{_GROUP}/v1beta1", "serverauthorizations", "ServerAuthorization")
MESH_TLS = Resource(f"{_GROUP}/v1alpha1", "meshtlsauthentications", "MeshTLSAuthentication")
NETWORKS = Resource(f"{_GROUP}/v1alpha1", "networkauthentications", "NetworkAuthentication")
_REQUIRED = {"MeshTLSAuthentication": MESH_TLS, "NetworkAuthentication": NETWORKS}


def category(subject: Subject) -> Category:
    """All of it."""

    async def let_in(facts: Facts) -> Verdict:
        shut = []
        for server in await routing.servers(facts, subject):
            if server["spec"].get("accessPolicy", "deny") != "deny":
                continue
            if not await _authorized(facts, subject, server):
                shut.append(f"* server {name(server)}, port {server['spec'].get('port')}")
        if not shut:
            return PASSED
        return Failed(
            lines("Some Servers let nobody in: no policy authorizes anybody:", shut),
            "every request to that port is answered 403 by the workload's own proxy",
            f"linkerd authz {subject.title} {subject.flag}, then add an AuthorizationPolicy",
        )

    async def by_default(facts: Facts) -> Verdict:
        denying = [name(pod) for pod in await subject.pods(facts) if default_policy(pod) == "deny"]
        if not denying:
            return PASSED
        spec = subject.template["spec"]
        covered = {routing.server_port(server, spec) for server in await routing.servers(facts, subject)}
        ports = sorted(targets(await subject.services(facts), spec) - covered)
        if not ports:
            return PASSED
        return Failed(
            f"the default policy of {denying[0]} is deny, and no Server covers port {', '.join(map(str, ports))}",
            "every request to that port is answered 403 by the workload's own proxy",
            f"add a Server and an AuthorizationPolicy, or set config.linkerd.io/default-inbound-policy on {subject.title}",
        )

    async def complete(facts: Facts) -> Verdict:
        lost = []
        for policy in await _policies(facts, subject):
            for wanted in policy["spec"].get("requiredAuthenticationRefs") or []:
                resource = _REQUIRED.get(wanted["kind"])
                if wanted["kind"] == "ServiceAccount":
                    resource = resources.SERVICE_ACCOUNTS
                if resource is None:
                    continue
                place = wanted.get("namespace", subject.namespace)
                if await facts.find(resource, place, wanted["name"]) is None:
                    lost.append(f"* AuthorizationPolicy {name(policy)}: {wanted['kind']} {wanted['name']}")
        if not lost:
            return PASSED
        return Failed(
            lines("Some policies refer to what doesn't exist:", lost),
            "they authorize nobody",
            f"kubectl get meshtlsauthentications,networkauthentications,serviceaccounts {subject.flag}",
        )

    return Category(
        "authorization",
        (
            Check("Servers let somebody in", let_in),
            Check("the default policy lets callers in", by_default),
            Check("policies refer to what exists", complete),
        ),
        "own",
    )


async def _policies(facts: Facts, subject: Subject) -> list[Object]:
    """The AuthorizationPolicies on the workload's Servers, their routes, or the whole namespace."""
    servers = await routing.servers(facts, subject)
    names = {("Server", name(server)) for server in servers}
    names |= {("HTTPRoute", name(route.raw)) for s in servers for route in await routing.on_server(facts, subject, s)}
    names.add(("Namespace", subject.namespace))
    found = await facts.list(AUTHORIZATION_POLICIES, subject.namespace)
    return [item for item in found if (item["spec"]["targetRef"]["kind"], item["spec"]["targetRef"]["name"]) in names]


async def _authorized(facts: Facts, subject: Subject, server: Object) -> bool:
    """Whether any policy lets somebody in through this Server."""
    names = {("Server", name(server)), ("Namespace", subject.namespace)}
    names |= {("HTTPRoute", name(route.raw)) for route in await routing.on_server(facts, subject, server)}
    for policy in await facts.list(AUTHORIZATION_POLICIES, subject.namespace):
        target = policy["spec"]["targetRef"]
        if (target["kind"], target["name"]) in names:
            return True
    for item in await facts.list(SERVER_AUTHORIZATIONS, subject.namespace):
        wanted = item["spec"].get("server") or {}
        labels = server["metadata"].get("labels") or {}
        if wanted.get("name") == name(server) or ("selector" in wanted and selected(wanted["selector"], labels)):
            return True
    return False
