"""The ClusterRoles every cluster has, as far as the served resources reach; stored by `cluster` at the start."""

from __future__ import annotations

from interceptor.devcluster.objects import Object

_READ = ["get", "list", "watch"]
_WRITE = ["create", "delete", "deletecollection", "patch", "update"]
_RBAC = "rbac.authorization.k8s.io"


def _rule(group: str, names: list[str], verbs: list[str]) -> Object:
    return {"apiGroups": [group], "resources": names, "verbs": verbs}


_VIEW: list[Object] = [
    _rule(
        "",
        [
            "configmaps",
            "endpoints",
            "pods",
            "pods/log",
            "pods/status",
            "services",
            "services/status",
            "serviceaccounts",
            "events",
            "namespaces",
            "namespaces/status",
        ],
        _READ,
    ),
    _rule(
        "apps",
        [
            "deployments",
            "deployments/scale",
            "deployments/status",
            "replicasets",
            "replicasets/scale",
            "replicasets/status",
            "statefulsets",
            "daemonsets",
        ],
        _READ,
    ),
    _rule("batch", ["jobs", "jobs/status"], _READ),
    _rule("autoscaling", ["horizontalpodautoscalers"], _READ),
    _rule("policy", ["poddisruptionbudgets"], _READ),
    _rule("discovery.k8s.io", ["endpointslices"], _READ),
]
_EDIT: list[Object] = [
    *_VIEW,
    _rule("", ["pods/attach", "pods/exec", "pods/portforward", "pods/proxy", "secrets", "services/proxy"], _READ),
    _rule("", ["serviceaccounts"], ["impersonate"]),
    _rule("", ["pods", "pods/attach", "pods/exec", "pods/portforward", "pods/proxy"], _WRITE),
    _rule("", ["pods/eviction"], ["create"]),
    _rule("", ["configmaps", "events", "secrets", "serviceaccounts", "services", "services/proxy"], _WRITE),
    _rule("", ["serviceaccounts/token"], ["create"]),
    _rule(
        "apps",
        [
            "deployments",
            "deployments/rollback",
            "deployments/scale",
            "replicasets",
            "replicasets/scale",
            "statefulsets",
            "daemonsets",
        ],
        _WRITE,
    ),
    _rule("batch", ["jobs"], _WRITE),
    _rule("autoscaling", ["horizontalpodautoscalers"], _WRITE),
    _rule("policy", ["poddisruptionbudgets"], _WRITE),
    _rule("coordination.k8s.io", ["leases"], [*_WRITE, *_READ]),
]
_ADMIN: list[Object] = [
    *_EDIT,
    _rule(_RBAC, ["rolebindings", "roles"], [*_WRITE, *_READ]),
    _rule("authorization.k8s.io", ["localsubjectaccessreviews"], ["create"]),
]
_PATHS = [
    "/api",
    "/api/*",
    "/apis",
    "/apis/*",
    "/openapi",
    "/openapi/*",
    "/version",
    "/version/",
    "/healthz",
    "/livez",
    "/readyz",
]
_PUBLIC = ["/healthz", "/livez", "/readyz", "/version", "/version/"]

CLUSTER_ROLES: dict[str, list[Object]] = {
    "cluster-admin": [
        {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
        {"nonResourceURLs": ["*"], "verbs": ["*"]},
    ],
    "admin": _ADMIN,
    "edit": _EDIT,
    "view": _VIEW,
    "system:discovery": [{"nonResourceURLs": _PATHS, "verbs": ["get"]}],
    "system:public-info-viewer": [{"nonResourceURLs": _PUBLIC, "verbs": ["get"]}],
    "system:basic-user": [
        _rule("authorization.k8s.io", ["selfsubjectaccessreviews", "selfsubjectrulesreviews"], ["create"]),
        _rule("authentication.k8s.io", ["selfsubjectreviews"], ["create"]),
    ],
}

CLUSTER_BINDINGS: dict[str, list[str]] = {
    "cluster-admin": ["system:masters"],
    "system:discovery": ["system:authenticated"],
    "system:basic-user": ["system:authenticated"],
    "system:public-info-viewer": ["system:authenticated", "system:unauthenticated"],
}
"""ClusterRoles bound to groups from the start."""


def role(name: str) -> Object:
    """Return a ClusterRole object."""
    return {"metadata": {"name": name}, "rules": CLUSTER_ROLES[name]}


def binding(name: str) -> Object:
    """Return a ClusterRoleBinding object."""
    return {
        "metadata": {"name": name},
        "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": name},
        "subjects": [{"kind": "Group", "apiGroup": _RBAC, "name": group} for group in CLUSTER_BINDINGS[name]],
    }
