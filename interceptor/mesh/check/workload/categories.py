"""All categories about one workload, in the order of a request's way back from the symptom; `session.check` asks."""

from __future__ import annotations

from interceptor.mesh.check.model import Category
from interceptor.mesh.check.workload import (
    authorization,
    istio_authorization,
    istio_routes,
    istio_sidecars,
    meshed,
    pods,
    routes,
    services,
)
from interceptor.mesh.check.workload.subject import Subject


def about(subject: Subject, *, mesh: str) -> list[Category]:
    """What is true of every workload, and where there is a mesh (`linkerd`, `istio`), of a meshed one."""
    plain = [pods.category(subject), services.category(subject)]
    if mesh == "linkerd":
        return [*plain, meshed.category(subject), routes.category(subject), authorization.category(subject)]
    if mesh == "istio":
        own = (istio_sidecars, istio_routes, istio_authorization)
        return [*plain, *(part.category(subject) for part in own)]
    return plain
