"""Who may take a swap back, and what keeps them still."""

from __future__ import annotations

from typing import Any

import pytest

from interceptor.workload.owners import owners

KUSTOMIZE, RELEASE = "kustomize.toolkit.fluxcd.io", "helm.toolkit.fluxcd.io"


@pytest.mark.parametrize(
    ("metadata", "who", "command"),
    [
        (
            {"annotations": {"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:shop/orders"}},
            "Argo CD",
            "argocd app set shop ",
        ),
        ({"labels": {"argocd.argoproj.io/instance": "shop"}}, "Argo CD", "argocd app set shop "),
        (
            {
                "labels": {"app.kubernetes.io/instance": "shop"},
                "managedFields": [{"manager": "argocd-controller", "operation": "Apply"}],
            },
            "Argo CD",
            "argocd app set shop ",
        ),
        (
            {"labels": {f"{KUSTOMIZE}/name": "apps", f"{KUSTOMIZE}/namespace": "flux-system"}},
            "Flux",
            "flux suspend kustomization apps -n flux-system",
        ),
        (
            {"labels": {f"{RELEASE}/name": "web"}, "annotations": {"meta.helm.sh/release-name": "web"}},
            "HelmRelease",
            "flux suspend helmrelease web",
        ),
        ({"annotations": {"meta.helm.sh/release-name": "web"}}, "Helm release web", "upgrade"),
        ({"ownerReferences": [{"kind": "Shop", "name": "main", "controller": True}]}, "Shop main", "operator"),
    ],
)
def test_owner_is_told_with_its_brake(metadata: dict[str, Any], who: str, command: str) -> None:
    [note] = owners({"metadata": metadata})
    assert who in note
    assert command in note


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"labels": {"app.kubernetes.io/instance": "shop", "app.kubernetes.io/managed-by": "Helm"}},
        {"labels": {f"{KUSTOMIZE}/name": "apps"}, "annotations": {f"{KUSTOMIZE}/reconcile": "disabled"}},
        {"ownerReferences": [{"kind": "Shop", "name": "main"}]},
    ],
)
def test_nobody_is_silent(metadata: dict[str, Any]) -> None:
    assert list(owners({"metadata": metadata})) == []
