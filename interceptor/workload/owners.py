"""Who else writes to a workload and may take a swap back: GitOps, Helm, an operator; `preflight` tells it as notes.

Pure. Each of them marks what it made: Argo CD by an annotation (or, with tracking by label, only in managedFields), Flux
by labels, Helm by annotations, an operator by an owner reference. None is a reason to refuse: a revert ends the session
in order. But a person should know before, with what keeps the owner still.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Object = dict[str, Any]

_ARGO = "argocd.argoproj.io/tracking-id"  # APP:GROUP/KIND:NAMESPACE/NAME
_KUSTOMIZE, _HELM_RELEASE = "kustomize.toolkit.fluxcd.io", "helm.toolkit.fluxcd.io"
_HELM = "meta.helm.sh/release-name"


def owners(workload: Object) -> Iterator[str]:
    """One note for each."""
    metadata = workload["metadata"]
    labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
    yield from _argo(labels, annotations, {str(entry.get("manager")) for entry in metadata.get("managedFields") or []})
    yield from _flux(labels, annotations)
    if annotations.get(_HELM) and f"{_HELM_RELEASE}/name" not in labels:
        yield f"Helm release {annotations[_HELM]} owns this workload: an upgrade meanwhile ends the intercept"
    for reference in metadata.get("ownerReferences") or []:
        if reference.get("controller"):
            yield (
                f"{reference['kind']} {reference['name']} made this workload: if its operator puts back what differs, "
                "the intercept ends at once"
            )


def _argo(labels: Object, annotations: Object, managers: set[str]) -> Iterator[str]:
    app = str(annotations.get(_ARGO, "")).partition(":")[0] or str(labels.get("argocd.argoproj.io/instance", ""))
    if not app and not any(name.startswith(("argocd-", "argocd.")) for name in managers):
        return
    app = app or str(labels.get("app.kubernetes.io/instance") or "APP")
    yield (
        f"Argo CD owns this workload: with self-heal on it takes the swap back within seconds, and the intercept ends; "
        f"to keep it still: argocd app set {app} --self-heal=false"
    )


def _flux(labels: Object, annotations: Object) -> Iterator[str]:
    name = labels.get(f"{_KUSTOMIZE}/name") or annotations.get(f"{_KUSTOMIZE}/name")
    if name and annotations.get(f"{_KUSTOMIZE}/reconcile") != "disabled":
        namespace = labels.get(f"{_KUSTOMIZE}/namespace") or "flux-system"
        yield (
            "Flux owns this workload: its next reconciliation takes the swap back, and the intercept ends; "
            f"to keep it still: flux suspend kustomization {name} -n {namespace}"
        )
    release = labels.get(f"{_HELM_RELEASE}/name") or annotations.get(f"{_HELM_RELEASE}/name")
    if release:
        namespace = labels.get(f"{_HELM_RELEASE}/namespace") or "flux-system"
        yield (
            "Flux owns this workload through a HelmRelease: an upgrade, or its drift correction, ends the intercept; "
            f"to keep it still: flux suspend helmrelease {release} -n {namespace}"
        )
