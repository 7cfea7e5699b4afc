"""All categories about one workload, in the order of a request's way back from the symptom; `session.check` asks."""

from __future__ import annotations

from interceptor.mesh.check.model import Category
from interceptor.mesh.check.workload import authorization, meshed, pods, routes, services
from interceptor.mesh.check.workload.subject import Subject


def about(subject: Subject, *, mesh: bool) -> list[Category]:
    """What is true of every workload, and where there is a mesh, of a meshed one."""
    plain = [pods.category(subject), services.category(subject)]
    if not mesh:
        return plain
    return [*plain, meshed.category(subject), routes.category(subject), authorization.category(subject)]
