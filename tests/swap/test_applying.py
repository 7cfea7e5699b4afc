"""Whatever manifest somebody applies while a workload is held: in the end it is as if nobody had held it."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from interceptor.swap import SWAP_ANNOTATION, SwapPlan, restore, swap
from interceptor.swap.path import same
from tests.swap.applying import KEYS, PROBES, RefusedError, applied, defaulted
from tests.swap.test_template import PLAN
from tests.swap.workloads import optional

Object = dict[str, Any]

# None of these values is one that the swap itself writes: what somebody sets to that very value can't be told from ours.
handlers = st.one_of(
    st.fixed_dictionaries(
        {
            "httpGet": st.fixed_dictionaries(
                {"path": st.sampled_from(["/a", "/b"]), "port": st.sampled_from([8080, 9090])}
            )
        }
    ),
    st.fixed_dictionaries({"tcpSocket": st.fixed_dictionaries({"port": st.sampled_from([8080, 9090])})}),
    st.fixed_dictionaries(
        {"exec": st.fixed_dictionaries({"command": st.lists(st.just("ok"), min_size=1, max_size=2)})}
    ),
)
# What the swap removes (args, lifecycle, this delay), or sets to the API's own default (the pull policy), is in every
# manifest: one that drops it meanwhile can't be told from us, and gets it back. docs/merge.md says so.
delay = st.fixed_dictionaries({"initialDelaySeconds": st.integers(1, 2)})
pace = optional(
    failureThreshold=st.integers(8, 9),
    timeoutSeconds=st.integers(2, 3),
    periodSeconds=st.sampled_from([3, 7]),
)
probes = st.builds(lambda *parts: {key: value for part in parts for key, value in part.items()}, handlers, delay, pace)
apps = st.fixed_dictionaries(
    {
        "args": st.lists(st.sampled_from(["-v", "-q"]), min_size=1, max_size=2),
        "lifecycle": st.sampled_from([{"preStop": {"sleep": {"seconds": seconds}}} for seconds in (1, 2)]),
        "imagePullPolicy": st.sampled_from(["Always", "Never"]),
    },
    optional={
        "image": st.sampled_from(["shop:1", "shop:2"]),
        "command": st.sampled_from([["serve"], ["serve", "-x"]]),
        "workingDir": st.just("/app"),
        **dict.fromkeys(PROBES, probes),
        "env": st.lists(st.sampled_from("AB"), unique=True).map(lambda names: [{"name": n, "value": n} for n in names]),
        "volumeMounts": st.lists(st.sampled_from(["/d", "/e"]), unique=True).map(
            lambda paths: [{"mountPath": path, "name": "data"} for path in paths]
        ),
        "resources": st.sampled_from([{"limits": {"cpu": "1"}}, {"limits": {"memory": "1Gi"}}]),
        "securityContext": st.just({"privileged": False}),
    },
)
others = optional(image=st.sampled_from(["side:1", "side:2"]), command=st.just(["side"]))


@st.composite
def manifests(draw: st.DrawFn) -> Object:
    named = [{"name": "app", **draw(apps)}]
    named += [{"name": name, **draw(others)} for name in draw(st.lists(st.sampled_from(["x", "y"]), unique=True))]
    pod: Object = {"containers": draw(st.permutations(named)), "volumes": [{"name": "data", "emptyDir": {}}]}
    if draw(st.booleans()):
        pod["volumes"].append({"name": "more", "emptyDir": {}})
    annotations = draw(optional(annotations=st.dictionaries(st.sampled_from("ab"), st.sampled_from("12"))))
    template = {"metadata": draw(optional(labels=st.just({"tier": "web"}))) | annotations, "spec": pod}
    spec = draw(optional(replicas=st.integers(0, 3), minReadySeconds=st.integers(1, 2)))
    # kubectl itself always puts annotations there: the one with the last manifest.
    metadata = draw(optional(labels=st.just({"team": "a"}))) | {
        "annotations": draw(st.sampled_from([{}, {"note": "b"}]))
    }
    return {"metadata": {"name": "orders"} | metadata, "spec": {**spec, "template": template}}


few = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
agents = st.sampled_from([PLAN, replace(PLAN, image="python:3.13-slim")])


def in_order(value: Any) -> Any:
    """Named items by their names, and nothing that is empty: the API server tells no more apart."""
    if isinstance(value, dict):
        ordered = {key: in_order(inner) for key, inner in value.items()}
        for key in ordered.keys() & KEYS.keys():
            ordered[key] = sorted(map(in_order, ordered[key]), key=lambda item: str(item[KEYS[key]]))
        return {key: inner for key, inner in ordered.items() if inner not in ({}, []) or key == "emptyDir"}
    return value


@few
@given(manifests(), manifests(), agents)
def test_applied_as_if_never_held(first: Object, then: Object, plan: SwapPlan) -> None:
    live = defaulted(first)
    try:
        wanted = applied(live, first, then)
        meanwhile = applied(swap(live, plan), first, then)
    except RefusedError:
        assume(False)
    restored = defaulted(restore(meanwhile).workload)
    assert same(in_order(restored), in_order(wanted))


@few
@given(manifests(), agents)
def test_applied_unchanged_is_as_before(manifest: Object, plan: SwapPlan) -> None:
    """A pipeline that runs again, or GitOps that puts its own back."""
    live = defaulted(manifest)
    try:
        meanwhile = applied(swap(live, plan), manifest, manifest)
    except RefusedError:
        assume(False)
    restored, kept = restore(meanwhile)
    assert kept == []
    assert same(in_order(restored), in_order(live))


@few
@given(manifests(), manifests(), agents)
def test_restored_twice_is_once(first: Object, then: Object, plan: SwapPlan) -> None:
    """One who dies between the two writes of a restore leaves what the next one ends."""
    try:
        meanwhile = applied(swap(defaulted(first), plan), first, then)
    except RefusedError:
        assume(False)
    once = defaulted(restore(meanwhile).workload)
    halfway = copy.deepcopy(once)
    record = meanwhile["metadata"]["annotations"][SWAP_ANNOTATION]
    halfway["metadata"].setdefault("annotations", {})[SWAP_ANNOTATION] = record
    assert same(defaulted(restore(halfway).workload), once)
