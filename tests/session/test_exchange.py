"""An exchange that doesn't come to its end says what to type."""

from __future__ import annotations

from typing import Any

import pytest

from interceptor.session import exchange
from interceptor.session.exchange import see_restored
from interceptor.workload.kinds import DEPLOYMENT, POD, REPLICA_SET, Kind, WorkloadRef
from interceptor.workload.rollout import RolloutFailed
from tests.session.scene import APPS, Scene

LABELS = {"app": "late"}
POD_SPEC = {"containers": [{"name": "app", "image": "no.such.registry/image:1"}]}  # its pods never get ready
TEMPLATE = {"metadata": {"labels": LABELS}, "spec": POD_SPEC}
MANY = {"replicas": 1, "selector": {"matchLabels": LABELS}, "template": TEMPLATE}


@pytest.mark.parametrize(
    ("kind", "spec", "said", "subject"),
    [
        (DEPLOYMENT, MANY, "the rollout of deploy/late took longer than 1 s: 0 of 1", "deploy/late"),
        (REPLICA_SET, MANY, "the pods of rs/late took longer than 1 s", "pod/late-"),
        (POD, POD_SPEC, "pod/late is back, but was not ready within 1 s", "pod/late"),
    ],
)
async def test_late_pods_are_told(
    kind: Kind, spec: dict[str, Any], said: str, subject: str, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "PER_POD", 0.0)
    group = "" if kind is POD else APPS
    made = {"metadata": {"name": "late", "labels": LABELS}, "spec": spec}
    await scene.api.ok("POST", scene.api.path(kind.resource.plural, group=group), made)
    await scene.api.eventually(lambda: scene.api.get(scene.api.path("pods")), lambda found: len(found["items"]) == 1)
    ref = WorkloadRef(kind, scene.api.namespace, "late", "late-x7f2q")
    async with scene.cluster() as cluster:
        with pytest.raises(RolloutFailed) as caught:
            await see_restored(cluster, ref, 1.0)
    failed = caught.value
    assert said in failed.message
    assert failed.hint.startswith(f"see kubectl describe {subject}")
    assert failed.hint.endswith(f" -n {scene.api.namespace}")
