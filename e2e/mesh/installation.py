"""A Linkerd as it looks from the API: every object its installation leaves, and meshed workloads; `conftest` applies it.

Cluster-wide objects disturb nobody: the webhooks select a label that no namespace has, and are ignored when they fail.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import yaml

from e2e.mesh import certs
from e2e.mesh.certs import Pair
from interceptor.mesh.check.linkerd.config import GATEWAY_CRDS, LINKERD_CRDS

Object = dict[str, Any]

VERSION = "edge-26.8.1"
OLD_VERSION = "edge-26.1.1"
PROXY_IMAGE = "interceptor/proxy"
HERE = Path(__file__).parent
COMPONENTS = ("destination", "identity", "proxy-injector")
KINDS = {
    "authorizationpolicies": "AuthorizationPolicy",
    "egressnetworks": "EgressNetwork",
    "httplocalratelimitpolicies": "HTTPLocalRateLimitPolicy",
    "httproutes": "HTTPRoute",
    "meshtlsauthentications": "MeshTLSAuthentication",
    "networkauthentications": "NetworkAuthentication",
    "serverauthorizations": "ServerAuthorization",
    "servers": "Server",
    "serviceprofiles": "ServiceProfile",
    "externalworkloads": "ExternalWorkload",
    "grpcroutes": "GRPCRoute",
}


class Installation:
    """The objects of one mesh: control plane in `control`, workloads in `data`."""

    def __init__(self, control: str, data: str, image: str) -> None:
        self.control = control
        self.data = data
        self.image = image
        self.anchor = certs.authority()
        self.issuer = certs.issuer(self.anchor)
        self.webhooks = certs.authority("webhooks")

    def labels(self, component: str = "") -> Object:
        labels = {"linkerd.io/control-plane-ns": self.control}
        return {**labels, "linkerd.io/control-plane-component": component} if component else labels

    def values(self, **changes: Any) -> str:
        """The ConfigMap's text, with top-level changes."""
        found = {
            "identityTrustAnchorsPEM": self.anchor.pem,
            "identityTrustDomain": "cluster.local",
            "identity": {"issuer": {"scheme": "linkerd.io/tls"}},
            "clusterNetworks": "10.0.0.0/8,100.64.0.0/10,172.16.0.0/12,192.168.0.0/16,fd00::/8",
            "clusterDomain": "cluster.local",
            "cniEnabled": False,
            "highAvailability": False,
            "disableHeartBeat": False,
            "linkerdVersion": VERSION,
            "proxyInit": {"runAsRoot": False},
            **changes,
        }
        return yaml.safe_dump(found)

    # --- cluster-wide ---

    def crds(self) -> list[Object]:
        return [crd(name, version) for name, version in LINKERD_CRDS.items()] + [crd(n, "v1") for n in GATEWAY_CRDS]

    def cluster_wide(self) -> list[Object]:
        names = [f"linkerd-{self.control}-{part}" for part in ("identity", "proxy-injector")]
        rbac = "rbac.authorization.k8s.io"
        roles = [
            {"apiVersion": f"{rbac}/v1", "kind": "ClusterRole", "metadata": self._named(name, ""), "rules": []}
            for name in names
        ]
        bindings = [
            {
                "apiVersion": f"{rbac}/v1", "kind": "ClusterRoleBinding", "metadata": self._named(name, ""),
                "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": name},
                "subjects": [{"kind": "ServiceAccount", "name": "linkerd-identity", "namespace": self.control}],
            }
            for name in names
        ]  # fmt: skip
        hooks = [
            self._webhook("MutatingWebhookConfiguration", "proxy-injector"),
            self._webhook("ValidatingWebhookConfiguration", "sp-validator"),
            self._webhook("ValidatingWebhookConfiguration", "policy-validator"),
        ]
        return [*roles, *bindings, *hooks]

    def _named(self, name: str, component: str) -> Object:
        return {"name": name, "labels": self.labels(component)}

    def _webhook(self, kind: str, name: str) -> Object:
        rule = {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}
        return {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": kind,
            "metadata": self._named(f"linkerd-{name}-webhook-config", name),
            "webhooks": [{
                "name": f"linkerd-{name}.linkerd.io",
                "namespaceSelector": {"matchLabels": {"interceptor-e2e/nowhere": self.control}},
                "clientConfig": {
                    "service": {"name": f"linkerd-{name}", "namespace": self.control, "path": "/"},
                    "caBundle": encoded(self.webhooks.pem),
                },
                "failurePolicy": "Ignore",
                "admissionReviewVersions": ["v1"],
                "rules": [rule],
                "sideEffects": "None",
            }],
        }  # fmt: skip

    # --- the control plane's namespace ---

    def control_plane(self) -> list[Object]:
        names = [f"linkerd-{part}" for part in (*COMPONENTS, "heartbeat")]
        accounts = [
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "labels": self.labels()}}
            for name in names
        ]
        config = {
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "linkerd-config", "labels": self.labels()},
            "data": {"values": self.values()},
        }  # fmt: skip
        roots = {
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "linkerd-identity-trust-roots"},
            "data": {"ca-bundle.crt": self.anchor.pem},
        }  # fmt: skip
        secrets = [secret("linkerd-identity-issuer", {"crt.pem": self.issuer.pem, "key.pem": self.issuer.key})]
        for name in ("proxy-injector", "sp-validator", "policy-validator"):
            pair = certs.issue(f"linkerd-{name}.{self.control}.svc", self.webhooks)
            secrets.append(secret(f"linkerd-{name}-k8s-tls", {"tls.crt": pair.pem, "tls.key": pair.key}))
        own = [self._component(name) for name in COMPONENTS]
        return [*accounts, config, roots, *secrets, self.program(), self.leaf(self.control), *own]

    def _component(self, name: str) -> Object:
        container = {
            "name": name, "image": self.image, "imagePullPolicy": "IfNotPresent",
            "command": ["python3", "/program/proxy.py", "9990"], "volumeMounts": [MOUNTS[0]],
            "readinessProbe": probe(9990),
        }  # fmt: skip
        return self.deployment(f"linkerd-{name}", container, labels=self.labels(name), account=f"linkerd-{name}")

    # --- workloads ---

    def program(self) -> Object:
        """What the proxies run, and what they answer."""
        texts = {name: (HERE / name).read_text() for name in ("proxy.py", "metrics.prom")}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "proxy-program"}, "data": texts}

    def leaf(self, namespace: str) -> Object:
        """The proxies' own certificate."""
        pair = self.proxy_certificate(namespace)
        return secret("proxy-certificate", {"tls.crt": pair.pem, "tls.key": pair.key})

    def proxy_certificate(self, namespace: str, **wishes: Any) -> Pair:
        return certs.issue(self.identity(namespace), wishes.pop("by", self.issuer), **wishes)

    def identity(self, namespace: str) -> str:
        return f"default.{namespace}.serviceaccount.identity.{self.control}.cluster.local"

    def proxy(self, namespace: str, version: str = VERSION, anchors: str = "") -> Object:
        """A proxy as a native sidecar, with the settings that tell what it trusts and who it is."""
        env = {
            "LINKERD2_PROXY_INBOUND_DEFAULT_POLICY": "all-unauthenticated",
            "LINKERD2_PROXY_INBOUND_PORTS": "8080",
            "LINKERD2_PROXY_LOG": "warn,linkerd=info",
            "_l5d_ns": self.control,
            "_l5d_trustdomain": "cluster.local",
            "LINKERD2_PROXY_IDENTITY_LOCAL_NAME": self.identity(namespace),
        }
        variable = "LINKERD2_PROXY_IDENTITY_TRUST_ANCHORS"
        own: Object = {"name": variable, "value": anchors or self.anchor.pem}
        if namespace == self.control:  # the control plane's pods take it from where it is kept
            key = {"name": "linkerd-identity-trust-roots", "key": "ca-bundle.crt"}
            own = {"name": variable, "valueFrom": {"configMapKeyRef": key}}
        return {
            "name": "linkerd-proxy", "image": f"{PROXY_IMAGE}:{version}", "imagePullPolicy": "IfNotPresent",
            "command": ["python3", "/program/proxy.py", "4191"],
            "env": [own, *({"name": n, "value": v} for n, v in env.items())],
            "ports": [{"containerPort": 4143, "name": "linkerd-proxy"}, {"containerPort": 4191, "name": "linkerd-admin"}],
            "readinessProbe": probe(4191), "startupProbe": probe(4191, failureThreshold=120),
            "restartPolicy": "Always", "volumeMounts": list(MOUNTS),
        }  # fmt: skip

    def app(self) -> Object:
        """An app on every address."""
        return {
            "name": "app", "image": self.image, "imagePullPolicy": "IfNotPresent",
            "command": ["python3", "-m", "http.server", "8080", "--directory", "/tmp"],
            "ports": [{"containerPort": 8080, "name": "http"}],
            "readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1, "timeoutSeconds": 20},
        }  # fmt: skip

    def deployment(
        self, name: str, container: Object, *, replicas: int = 1, labels: Object | None = None, account: str = "default"
    ) -> Object:
        """A meshed Deployment, as the injector would have left its pods."""
        namespace = self.control if labels else self.data
        template = {
            "metadata": {
                "labels": {"app": name, "linkerd.io/proxy-deployment": name, **self.labels(), **(labels or {})},
                "annotations": {"linkerd.io/proxy-version": VERSION},
            },
            "spec": {
                "serviceAccountName": account,
                "terminationGracePeriodSeconds": 0,
                "initContainers": [self.proxy(namespace)],
                "containers": [container],
                "volumes": VOLUMES,
            },
        }
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name, "labels": labels or {}},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": {"app": name}},
                "strategy": {"rollingUpdate": {"maxSurge": "100%", "maxUnavailable": 0}},
                "template": template,
            },
        }

    def workloads(self) -> list[Object]:
        """`orders`, two pods behind a Service, and `client` that calls it."""
        return [
            self.program(),
            self.leaf(self.data),
            self.deployment("orders", self.app(), replicas=2),
            service("orders"),
            self.deployment("client", self.app()),
        ]

    def ghost(
        self,
        name: str,
        namespace: str = "",
        *,
        image: str = "",
        anchors: str = "",
        policy: str = "",
        proxied: bool = True,
        **more: Any,
    ) -> tuple[Object, Object]:
        """A pod that no node ever takes, and the status that makes it look as if one had: any state, at once."""
        namespace = namespace or self.data
        app = {**self.app(), "name": "app"}
        proxy = self.proxy(namespace, anchors=anchors)
        if image:
            proxy["image"] = image
        if policy:
            proxy["env"] = [
                item for item in proxy["env"] if item["name"] != "LINKERD2_PROXY_INBOUND_DEFAULT_POLICY"
            ] + [{"name": "LINKERD2_PROXY_INBOUND_DEFAULT_POLICY", "value": policy}]
        labels = {"app": "ghost", **(self.labels() if proxied else {}), **more.pop("labels", {})}
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "labels": labels, "annotations": more.pop("annotations", {})},
            "spec": {
                "schedulerName": "nobody",
                "initContainers": [proxy] if proxied else [],
                "containers": [app],
                "volumes": VOLUMES,
                **more,
            },
        }
        ready = {"ready": True, "restartCount": 0, "imageID": "", "state": {"running": {}}, "started": True}
        status = {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [{"name": "app", "image": "app", **ready}],
            "initContainerStatuses": [{"name": "linkerd-proxy", "image": "proxy", **ready}] if proxied else [],
        }
        return pod, status


MOUNTS = (
    {"name": "program", "mountPath": "/program"},
    {"name": "certificate", "mountPath": "/certificate"},
)
VOLUMES = [
    {"name": "program", "configMap": {"name": "proxy-program"}},
    {"name": "certificate", "secret": {"secretName": "proxy-certificate"}},
]


def probe(port: int, **more: Any) -> Object:
    """A refusal counts at once, a slow answer on a busy machine doesn't."""
    return {
        "httpGet": {"path": "/ready", "port": port},
        "periodSeconds": 1,
        "failureThreshold": 1,
        "timeoutSeconds": 20,
        **more,
    }


def service(name: str, port: int = 80, target: int | str = 8080, app: str = "", **metadata: Any) -> Object:
    return {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, **metadata},
        "spec": {"selector": {"app": app or name}, "ports": [{"name": "http", "port": port, "targetPort": target}]},
    }  # fmt: skip


def secret(name: str, texts: dict[str, str]) -> Object:
    data = {key: encoded(text) for key, text in texts.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data}


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def crd(name: str, version: str, content: Object | None = None) -> Object:
    """A kind with that version, of any content if none is given."""
    plural, _, group = name.partition(".")
    schema = {"openAPIV3Schema": content or {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": name,
            "labels": {"interceptor-e2e": "mesh"},
            # Kubernetes protects its own groups: the Gateway API's is one of them.
            "annotations": {"api-approved.kubernetes.io": "unapproved, a test's"} if group.endswith("k8s.io") else {},
        },
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": plural, "kind": KINDS[plural]},
            "versions": [{"name": version, "served": True, "storage": True, "schema": schema}],
        },
    }


def listed(objects: list[Object]) -> str:
    """For `kubectl apply -f -`."""
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
