"""Which resources the dev cluster serves: data for routing, discovery, tables and RBAC.

The list is what the product, the demo and kubectl need. Resources marked `stored_only` can be read and written but
nothing acts on them (no autoscaler runs); those in `ABSENT` exist in Kubernetes and are answered with 501.
"""

from __future__ import annotations

from dataclasses import dataclass, field

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource: how it is spelled, where it lives and what it can do."""

    group: str
    version: str
    plural: str
    kind: str
    short: tuple[str, ...] = ()
    namespaced: bool = True
    categories: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS
    generation: bool = False
    stored_only: bool = field(default=False, compare=False)

    @property
    def api_version(self) -> str:
        """The object's apiVersion."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def singular(self) -> str:
        """As kubectl prints it."""
        return self.kind.lower()

    @property
    def qualified(self) -> str:
        """As error messages spell it: `pods`, `deployments.apps`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


_READ = ("get", "list", "watch")
_CREATE = ("create",)

RESOURCES: tuple[Resource, ...] = (
    Resource("", "v1", "namespaces", "Namespace", ("ns",), False, subresources=("status",)),
    Resource("", "v1", "nodes", "Node", ("no",), False, verbs=_READ),
    Resource(
        "",
        "v1",
        "pods",
        "Pod",
        ("po",),
        categories=("all",),
        generation=True,
        subresources=("status", "log", "exec", "portforward", "eviction"),
    ),
    Resource("", "v1", "services", "Service", ("svc",), categories=("all",), subresources=("status",)),
    Resource("", "v1", "endpoints", "Endpoints", ("ep",)),
    Resource("", "v1", "configmaps", "ConfigMap", ("cm",)),
    Resource("", "v1", "secrets", "Secret"),
    Resource("", "v1", "serviceaccounts", "ServiceAccount", ("sa",), subresources=("token",)),
    Resource("", "v1", "events", "Event", ("ev",)),
    Resource(
        "apps",
        "v1",
        "deployments",
        "Deployment",
        ("deploy",),
        categories=("all",),
        generation=True,
        subresources=("status", "scale"),
    ),
    Resource(
        "apps",
        "v1",
        "replicasets",
        "ReplicaSet",
        ("rs",),
        categories=("all",),
        generation=True,
        subresources=("status", "scale"),
    ),
    Resource("apps", "v1", "statefulsets", "StatefulSet", ("sts",), categories=("all",), verbs=_READ),
    Resource("apps", "v1", "daemonsets", "DaemonSet", ("ds",), categories=("all",), verbs=_READ),
    Resource("batch", "v1", "jobs", "Job", categories=("all",), generation=True, subresources=("status",)),
    Resource("coordination.k8s.io", "v1", "leases", "Lease"),
    Resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice"),
    Resource(
        "autoscaling",
        "v2",
        "horizontalpodautoscalers",
        "HorizontalPodAutoscaler",
        ("hpa",),
        categories=("all",),
        stored_only=True,
    ),
    Resource(
        "policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", ("pdb",), generation=True, stored_only=True
    ),
    Resource("rbac.authorization.k8s.io", "v1", "roles", "Role"),
    Resource("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding"),
    Resource("rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", namespaced=False),
    Resource("rbac.authorization.k8s.io", "v1", "clusterrolebindings", "ClusterRoleBinding", namespaced=False),
    Resource(
        "authorization.k8s.io",
        "v1",
        "selfsubjectaccessreviews",
        "SelfSubjectAccessReview",
        namespaced=False,
        verbs=_CREATE,
    ),
    Resource(
        "authorization.k8s.io",
        "v1",
        "selfsubjectrulesreviews",
        "SelfSubjectRulesReview",
        namespaced=False,
        verbs=_CREATE,
    ),
    Resource(
        "authorization.k8s.io",
        "v1",
        "subjectaccessreviews",
        "SubjectAccessReview",
        namespaced=False,
        verbs=_CREATE,
    ),
    Resource(
        "authentication.k8s.io",
        "v1",
        "selfsubjectreviews",
        "SelfSubjectReview",
        namespaced=False,
        verbs=_CREATE,
    ),
    Resource("authentication.k8s.io", "v1", "tokenreviews", "TokenReview", namespaced=False, verbs=_CREATE),
)

ABSENT = frozenset(
    {
        "persistentvolumeclaims",
        "persistentvolumes",
        "replicationcontrollers",
        "resourcequotas",
        "limitranges",
        "podtemplates",
        "cronjobs",
        "ingresses",
        "networkpolicies",
        "controllerrevisions",
        "componentstatuses",
        "storageclasses",
        "ingressclasses",
        "priorityclasses",
        "customresourcedefinitions",
        "certificatesigningrequests",
        "mutatingwebhookconfigurations",
        "validatingwebhookconfigurations",
    }
)
"""Real resources the dev cluster leaves out: 501, where a name nobody knows is 404 as in Kubernetes."""

_BY_PATH = {(item.group, item.version, item.plural): item for item in RESOURCES}
_BY_KIND = {(item.api_version, item.kind): item for item in RESOURCES}


def find(group: str, version: str, plural: str) -> Resource | None:
    """Look up a resource by its path."""
    return _BY_PATH.get((group, version, plural))


def by_kind(api_version: str, kind: str) -> Resource | None:
    """Look up a resource by its objects' apiVersion and kind."""
    return _BY_KIND.get((api_version, kind))


def groups() -> dict[str, str]:
    """Return each group with its version; "" is the core group."""
    return {item.group: item.version for item in RESOURCES}


def _named(plural: str, group: str = "", version: str = "v1") -> Resource:
    return _BY_PATH[group, version, plural]


NAMESPACES = _named("namespaces")
NODES = _named("nodes")
PODS = _named("pods")
SERVICES = _named("services")
ENDPOINTS = _named("endpoints")
CONFIGMAPS = _named("configmaps")
SECRETS = _named("secrets")
SERVICEACCOUNTS = _named("serviceaccounts")
EVENTS = _named("events")
DEPLOYMENTS = _named("deployments", "apps")
REPLICASETS = _named("replicasets", "apps")
JOBS = _named("jobs", "batch")
ENDPOINTSLICES = _named("endpointslices", "discovery.k8s.io")
ROLES = _named("roles", "rbac.authorization.k8s.io")
ROLEBINDINGS = _named("rolebindings", "rbac.authorization.k8s.io")
CLUSTERROLES = _named("clusterroles", "rbac.authorization.k8s.io")
CLUSTERROLEBINDINGS = _named("clusterrolebindings", "rbac.authorization.k8s.io")
