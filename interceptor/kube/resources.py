"""The kinds of objects the project reads and writes, and their paths in the API; used with every call of `client`."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote


@dataclass(frozen=True)
class Resource:
    """One kind: `apps/v1`, `deployments`, `Deployment`."""

    group_version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def group(self) -> str:
        """The API group as RBAC names it: empty for the core."""
        return self.group_version.rpartition("/")[0]

    def path(self, namespace: str | None, name: str | None = None, subresource: str | None = None) -> str:
        """The URL's path; without a namespace, that of all namespaces."""
        root = "/apis/" if self.group else "/api/"
        parts = [root + self.group_version]
        if self.namespaced and namespace:
            parts += ["namespaces", quote(namespace, safe="")]
        parts.append(self.plural)
        if name:
            parts.append(quote(name, safe=""))
        if subresource:
            parts.append(subresource)
        return "/".join(parts)

    def title(self, subresource: str | None = None) -> str:
        """As `kubectl auth can-i` and RBAC messages name it: `deployments.apps/scale`."""
        name = f"{self.plural}.{self.group}" if self.group else self.plural
        return f"{name}/{subresource}" if subresource else name


NAMESPACES = Resource("v1", "namespaces", "Namespace", namespaced=False)
PODS = Resource("v1", "pods", "Pod")
SERVICES = Resource("v1", "services", "Service")
SECRETS = Resource("v1", "secrets", "Secret")
CONFIGMAPS = Resource("v1", "configmaps", "ConfigMap")
SERVICE_ACCOUNTS = Resource("v1", "serviceaccounts", "ServiceAccount")
EVENTS = Resource("v1", "events", "Event")
ENDPOINT_SLICES = Resource("discovery.k8s.io/v1", "endpointslices", "EndpointSlice")
DEPLOYMENTS = Resource("apps/v1", "deployments", "Deployment")
REPLICA_SETS = Resource("apps/v1", "replicasets", "ReplicaSet")
STATEFUL_SETS = Resource("apps/v1", "statefulsets", "StatefulSet")
DAEMON_SETS = Resource("apps/v1", "daemonsets", "DaemonSet")
CONTROLLER_REVISIONS = Resource("apps/v1", "controllerrevisions", "ControllerRevision")
REPLICATION_CONTROLLERS = Resource("v1", "replicationcontrollers", "ReplicationController")
JOBS = Resource("batch/v1", "jobs", "Job")
CRON_JOBS = Resource("batch/v1", "cronjobs", "CronJob")
LEASES = Resource("coordination.k8s.io/v1", "leases", "Lease")
ROLES = Resource("rbac.authorization.k8s.io/v1", "roles", "Role")
ROLE_BINDINGS = Resource("rbac.authorization.k8s.io/v1", "rolebindings", "RoleBinding")
HPAS = Resource("autoscaling/v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler")
CLAIMS = Resource("v1", "persistentvolumeclaims", "PersistentVolumeClaim")
PDBS = Resource("policy/v1", "poddisruptionbudgets", "PodDisruptionBudget")
SERVICE_PROFILES = Resource("linkerd.io/v1alpha2", "serviceprofiles", "ServiceProfile")
HTTP_ROUTES = Resource("gateway.networking.k8s.io/v1", "httproutes", "HTTPRoute")
GRPC_ROUTES = Resource("gateway.networking.k8s.io/v1", "grpcroutes", "GRPCRoute")
POLICY_HTTP_ROUTES = Resource("policy.linkerd.io/v1beta3", "httproutes", "HTTPRoute")
LINKERD_TAP = "tap.linkerd.io/v1alpha1"  # an API of subresources only: `deployments/tap`, ...
API_SERVICES = Resource("apiregistration.k8s.io/v1", "apiservices", "APIService", namespaced=False)
ACCESS_REVIEWS = Resource(
    "authorization.k8s.io/v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview", namespaced=False
)
RULES_REVIEWS = Resource(
    "authorization.k8s.io/v1", "selfsubjectrulesreviews", "SelfSubjectRulesReview", namespaced=False
)
SUBJECT_REVIEWS = Resource("authentication.k8s.io/v1", "selfsubjectreviews", "SelfSubjectReview", namespaced=False)
