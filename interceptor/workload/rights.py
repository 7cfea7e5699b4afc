"""What the user must be allowed to do, asked before anything changes; `allowed` asks, `role` prints them.

Every call of `workload` and `session` has its line here, and nothing else has: the Role made of it is the least that
works. A list or watch of one object by its name counts as a call on that name: RBAC sees it in the field selector.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from interceptor.kube import resources
from interceptor.workload.kinds import DAEMON_SET, KINDS, POD, REPLICA_SET, STATEFUL_SET, Kind
from interceptor.workload.names import lease_name

if TYPE_CHECKING:
    from interceptor.kube.resources import Resource


@dataclass(frozen=True)
class Right:
    """One verb on one resource, or with a `name` on that one object.

    Where it isn't `required`, its lack only costs what `use` names. `guard`: it is there for the agents, which restore
    the workload by themselves; without it the user may still intercept, if somebody else looks after the end.
    """

    verb: str
    resource: Resource
    subresource: str = ""
    name: str = ""
    required: bool = True
    use: str = ""
    guard: bool = False

    def __str__(self) -> str:
        return f"{self.verb} {self.resource.title(self.subresource or None)}"


def needed(
    kind: Kind, name: str = "", *, guard: bool = True, exec_in_pod: bool = True, by_hand: bool = True
) -> list[Right]:
    """Everything that one intercept calls (also `restore` and `status` of it), in the order of its steps.

    With a name only that workload's, as far as RBAC can tell by names. Without `by_hand` it is known that a controller
    exchanges the pods: of a DaemonSet only the object tells.
    """
    rights = [
        *_carrier(kind, name),
        *_exchange(kind, by_hand),
        *_all("get list watch", resources.PODS),
        # Older API servers ask for `get` to upgrade to a WebSocket, those from 1.35 on for `create`.
        *_all("get create", resources.PODS, "portforward"),
        *_all("create get patch delete", resources.JOBS),
        *_all("create", resources.LEASES),
        *_all("get list watch patch delete", resources.LEASES, name=_lease(kind, name)),
        *_all("create", resources.SECRETS),
    ]
    if guard:
        rights += [
            Right("create", resources.SERVICE_ACCOUNTS, guard=True),
            Right("create", resources.ROLES, guard=True),
            Right("create", resources.ROLE_BINDINGS, guard=True),
            Right("create", resources.SERVICE_ACCOUNTS, "token", guard=True),
            Right("patch", resources.SECRETS, use="a fresh token for the agents of a long session", guard=True),
        ]
        # The agents' Role is told the old revision's name once it is known.
        rights += _optional("a revision history without the agent after a death", resources.ROLES, "patch")
    if exec_in_pod:
        use = "the pod's environment, and the agent in the container's own image"
        rights += [Right(verb, resources.PODS, "exec", required=False, use=use) for verb in ("get", "create")]
    rights += [
        *_optional("ports that only Services name, and what stands between callers and pods", resources.SERVICES,
                   "get", "list"),
        *_optional("what stands between callers and pods", resources.ENDPOINT_SLICES, "list"),
        *_optional("the pods' own words when one can't start", resources.EVENTS, "list"),
        *_optional("a note about autoscalers", resources.HPAS, "list"),
        *_optional("a note about disruption budgets", resources.PDBS, "list"),
    ]  # fmt: skip
    if kind.history is not None:
        verbs = ("get", "list", "delete") if kind.history is resources.REPLICA_SETS else ("list", "delete")
        rights += _optional("a revision history without the agent", kind.history, *verbs)
    return rights


def needed_beside(kind: Kind, name: str = "", *, claims: bool = True) -> list[Right]:
    """Everything that one `run` calls: it changes nothing of the workload."""
    rights = [
        *_all("get", kind.resource, name=name),
        *_all("get list watch create delete", resources.PODS),
        *_all("get create", resources.PODS, "portforward"),
        *_all("create patch delete", resources.JOBS),
        *_all("create", resources.SECRETS),
    ]
    use = "the pod's environment, and the agent in the container's own image"
    rights += [Right(verb, resources.PODS, "exec", required=False, use=use) for verb in ("get", "create")]
    rights += _optional("the pod's own words when it can't start", resources.EVENTS, "list")
    if claims:
        rights += _optional("whether a claim may be used by a second pod", resources.CLAIMS, "get")
    return rights


def needed_to_debug(kind: Kind, name: str = "", *, way: str = "ephemeral") -> list[Right]:
    """Everything that one `debug` calls: into a running pod, with a `copy` of it, or Linkerd's way (`inject`)."""
    rights = [] if kind is POD else _all("get", kind.resource, name=name)
    rights += _all("get list watch", resources.PODS)
    rights += _all("get create", resources.PODS, "exec")
    if way == "inject":
        rights += _all("patch list watch", kind.resource, name=name)
        if kind.history is not None:
            rights += _optional("a revision history without the debug sidecar", kind.history, "list", "delete")
    else:
        rights += _all("get create", resources.PODS, "attach")
    if way == "ephemeral":
        rights += _all("patch", resources.PODS, "ephemeralcontainers")
    else:
        rights += _all("create get list patch delete", resources.JOBS)
    if way == "copy":
        rights += _all("create delete", resources.PODS)
    return rights + _optional("the pod's own words when the debug container can't start", resources.EVENTS, "list")


def needed_for_log_level(kind: Kind, name: str = "", *, follow: bool = True, watch: bool = True) -> list[Right]:
    """Everything that one `log-level` calls; `follow` reads the proxies' logs, `watch` sees pods come and go."""
    return [
        *(() if kind is POD else _all("get", kind.resource, name=name)),
        *_all("list watch" if watch else "list", resources.PODS),
        *(_all("get", resources.PODS) if kind is POD else ()),
        *_all("get create", resources.PODS, "portforward"),
        *(_all("get", resources.PODS, "log") if follow else ()),
    ]


def needed_for_tap(kind: Kind, name: str = "") -> list[Right]:
    """Everything that one `tap` of a workload that nobody intercepts calls, where Linkerd's viz shows it."""
    own = kind.resource
    return [
        *_all("get", resources.LEASES, name=lease_name(own.kind, name) if name else ""),
        *_all("get", own, name=name),
        *(() if kind is POD else _all("list", resources.PODS)),
        *_all("watch", resources.Resource(resources.LINKERD_TAP, own.plural, own.kind), "tap", name),
    ]


PROFILE_RESOURCES = (
    resources.SERVICE_PROFILES,
    resources.HTTP_ROUTES,
    resources.GRPC_ROUTES,
    resources.POLICY_HTTP_ROUTES,
)


def needed_for_profile(resource: Resource, name: str = "", *, guard: bool = True, made: bool = True) -> list[Right]:
    """Everything that one `profile set` calls on a ServiceProfile or a route; `made`: where it may have to make it."""
    lock = lease_name(resource.kind, name) if name else ""
    rights = [
        # What else there is decides what is in force: a ServiceProfile disables the routes.
        *(
            Right("list", one, required=one in (resource, resources.SERVICE_PROFILES), use="what else is in force")
            for one in PROFILE_RESOURCES
        ),
        *_all("get patch watch", resource, name=name),
        *(_all("create", resource) + _all("delete", resource, name=name) if made else []),
        *_all("get", resources.SERVICES),
        *_all("create get patch delete", resources.JOBS),
        *_all("create", resources.LEASES),
        *_all("get patch delete", resources.LEASES, name=lock),
    ]
    if guard:
        rights += [
            *(Right("create", one, guard=True) for one in (resources.SERVICE_ACCOUNTS, resources.ROLES)),
            Right("create", resources.ROLE_BINDINGS, guard=True),
            Right("create", resources.SERVICE_ACCOUNTS, "token", guard=True),
            Right("create", resources.SECRETS, guard=True),
            Right("patch", resources.SECRETS, use="a fresh token for the guard of a long session", guard=True),
            *(Right(verb, resources.PODS, guard=True) for verb in ("create", "get")),
        ]
    use = "what callers get, before and after"
    rights += [Right("list", resources.PODS, required=False, use=use)]
    rights += [Right(verb, resources.PODS, "portforward", required=False, use=use) for verb in ("get", "create")]
    return rights


def reading(kinds: Iterable[Kind] = KINDS) -> list[Right]:
    """What `list`, `status` without a target and `restore --all` read of a namespace, or of all with `-A`."""
    carriers = dict.fromkeys(resources.REPLICA_SETS if kind is POD else kind.resource for kind in kinds)
    return [
        *_all("list watch", resources.LEASES),
        *(right for one in (*carriers, resources.PODS, resources.JOBS) for right in _all("list", one)),
        *(Right("list", one, required=False, use="routes that somebody changed") for one in PROFILE_RESOURCES),
    ]


def everything(*, guard: bool = True) -> list[Right]:
    """What all commands call in one namespace, for workloads of every kind."""
    rights = [right for kind in KINDS for right in (*needed(kind, guard=guard), *needed_beside(kind))] + reading()
    rights += [right for way in ("ephemeral", "copy") for right in needed_to_debug(POD, way=way)]
    rights += [right for kind in KINDS for right in needed_for_log_level(kind)]
    rights += [
        replace(right, required=False, use="changing routes for a time")
        for resource in PROFILE_RESOURCES
        for right in needed_for_profile(resource, guard=guard)
    ]
    found: dict[tuple[str, Resource, str], Right] = {}
    for right in rights:
        key = right.verb, right.resource, right.subresource
        if key not in found or (right.required and not found[key].required):
            found[key] = right
    return list(found.values())


def _carrier(kind: Kind, name: str) -> list[Right]:
    """On the object that carries the swap."""
    if kind is not POD:
        return _all("get patch list watch", kind.resource, name=name)
    return [
        *_all("create get list watch patch delete", resources.REPLICA_SETS),  # the stand-in's name is the session's
        *_all("create", resources.PODS),
        *_all("delete", resources.PODS, name=name),
    ]


def _exchange(kind: Kind, by_hand: bool) -> list[Right]:
    """On the pods that no controller exchanges: with `OnDelete`, an ordered set that waits, a ReplicaSet of its own."""
    if kind not in (STATEFUL_SET, REPLICA_SET) and not (kind is DAEMON_SET and by_hand):
        return []
    rights = _all("delete", resources.PODS)
    if kind is DAEMON_SET:
        rights += _all("list", resources.CONTROLLER_REVISIONS)  # which pods are of the current template
    if kind is REPLICA_SET:
        rights += _optional("a new pod before the old one goes", resources.PODS, "patch")
    return rights


def _lease(kind: Kind, name: str) -> str:
    return lease_name(kind.resource.kind, name) if name else ""


def _all(verbs: str, resource: Resource, subresource: str = "", name: str = "") -> list[Right]:
    return [Right(verb, resource, subresource, name) for verb in verbs.split()]


def _optional(use: str, resource: Resource, *verbs: str) -> list[Right]:
    return [Right(verb, resource, required=False, use=use) for verb in verbs]
