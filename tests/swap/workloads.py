"""Generated workloads of every kind and swap plans for the property tests of this folder."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from interceptor.swap import SwapPlan

Workload = dict[str, Any]

# A generated workload costs some 20 ms, and several times that on a machine that others use too.
some = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
names = st.text(alphabet="abcxyz019-./~ é", min_size=1, max_size=8)
texts = st.text(max_size=6)


@st.composite
def probes(draw: st.DrawFn) -> dict[str, Any]:
    kind: dict[str, Any] = draw(
        st.sampled_from(
            [
                {"exec": {"command": ["cat", "/ok"]}},
                {"tcpSocket": {"port": 8080}},
                {"grpc": {"port": 9000, "service": "x"}},
                {"httpGet": {"path": "/ready", "port": "http", "scheme": "HTTP"}},
            ]
        )
    )
    return {**kind, **draw(st.dictionaries(st.sampled_from(["periodSeconds", "timeoutSeconds"]), st.integers(1, 9)))}


def optional(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


security = optional(runAsNonRoot=st.booleans(), runAsUser=st.none() | st.integers(0, 3), privileged=st.booleans())


def named(
    values: st.SearchStrategy[dict[str, Any]], size: int, least: int = 0
) -> st.SearchStrategy[list[dict[str, Any]]]:
    return st.dictionaries(names, values, min_size=least, max_size=size).map(
        lambda items: [{"name": name, **rest} for name, rest in items.items()]
    )


containers = optional(
    image=texts,
    imagePullPolicy=st.sampled_from(["Always", "IfNotPresent"]),
    command=st.none() | st.lists(texts, max_size=2),
    args=st.lists(texts, max_size=2),
    workingDir=st.sampled_from(["/", "/app"]),
    livenessProbe=st.none() | probes(),
    readinessProbe=probes(),
    startupProbe=probes(),
    lifecycle=st.none() | st.just({"preStop": {"sleep": {"seconds": 5}}}),
    volumeMounts=st.none() | named(optional(mountPath=texts, readOnly=st.booleans()), 3),
    env=named(optional(value=texts), 2),
    ports=st.lists(st.fixed_dictionaries({"containerPort": st.integers(1, 9)}), max_size=2),
    securityContext=st.none() | security,
    resources=optional(limits=st.just({"cpu": "1"})),
)

maybe_texts: st.SearchStrategy[Any] = st.none() | st.dictionaries(names, texts, max_size=2)


spreads = st.lists(st.fixed_dictionaries({"maxSkew": st.integers(1, 2), "topologyKey": texts}), max_size=1)
strategies = st.sampled_from(
    [
        {"type": "OnDelete"},
        {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}},
        {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
    ]
)
# What each kind has beside a template; the swap must neither need nor touch it.
KINDS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "Deployment": optional(replicas=st.integers(0, 3), paused=st.booleans(), strategy=st.just({"type": "Recreate"})),
    "StatefulSet": optional(
        replicas=st.integers(0, 3),
        updateStrategy=strategies,
        podManagementPolicy=st.sampled_from(["Parallel", "OrderedReady"]),
        volumeClaimTemplates=st.lists(st.just({"metadata": {"name": "data"}, "spec": {}}), max_size=1),
    ),
    "DaemonSet": optional(updateStrategy=strategies),
    "ReplicaSet": optional(replicas=st.integers(0, 3), minReadySeconds=st.integers(0, 3)),
}


@st.composite
def pod_specs(draw: st.DrawFn) -> dict[str, Any]:
    """What runs: with init containers, sidecars, spread and affinity."""
    pod: dict[str, Any] = draw(
        optional(
            volumes=st.none() | named(optional(emptyDir=st.just({})), 3),
            securityContext=st.none() | security,
            serviceAccountName=texts,
            initContainers=st.none() | named(optional(image=texts, restartPolicy=st.just("Always")), 2),
            topologySpreadConstraints=spreads,
            affinity=st.just({"podAntiAffinity": {}}),
            terminationGracePeriodSeconds=st.integers(0, 30),
        )
    )
    pod["containers"] = draw(named(containers, 3, 1))
    return pod


@st.composite
def workloads(draw: st.DrawFn) -> Workload:
    """A workload of any kind."""
    kind = draw(st.sampled_from([*KINDS]))
    template = {**draw(optional(metadata=st.none() | optional(annotations=maybe_texts, labels=maybe_texts)))}
    return {
        "kind": kind,
        **draw(optional(metadata=optional(name=names, annotations=maybe_texts))),
        "spec": {**draw(KINDS[kind]), "template": {**template, "spec": draw(pod_specs())}},
    }


@st.composite
def bare_pods(draw: st.DrawFn) -> Workload:
    """A pod as somebody gives it."""
    metadata = {"name": draw(st.sampled_from(["solo", "so.lo", "s" * 70])), "namespace": "shop"}
    metadata |= draw(
        optional(
            labels=st.dictionaries(names, texts, min_size=1, max_size=2),
            annotations=st.dictionaries(names, texts, min_size=1, max_size=2),
            ownerReferences=st.just([{"kind": "Backup", "name": "b", "uid": "u"}]),
        )
    )
    rest = optional(
        restartPolicy=st.sampled_from(["Always", "Never"]),
        nodeName=st.just("node-1"),
        hostname=st.just("db"),
        activeDeadlineSeconds=st.integers(1, 9),
    )
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {**draw(pod_specs()), **draw(rest)}}


@st.composite
def plans(draw: st.DrawFn, workload: Workload) -> SwapPlan:
    chosen = draw(st.sampled_from(workload["spec"]["template"]["spec"]["containers"]))
    return SwapPlan(
        session="orders-x7f2q",
        container=chosen["name"],
        command=("python3", "-I", "/var/run/interceptor/agent.pyz"),
        holder="ana@laptop",
        since="2026-11-23 04:28 UTC",
        health_port=47812,
        secret="interceptor-orders-x7f2q",
        image=draw(st.none() | st.just("python:3.13-slim")),
    )


@st.composite
def swaps(draw: st.DrawFn) -> tuple[Workload, SwapPlan]:
    workload = draw(workloads())
    return workload, draw(plans(workload))
