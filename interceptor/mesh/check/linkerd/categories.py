"""Linkerd's categories in Linkerd's order, for each way to call `check`; `session.check` takes them from here."""

from __future__ import annotations

from interceptor.kube import NotFound, resources
from interceptor.mesh.check.facts import Facts
from interceptor.mesh.check.linkerd import (
    beyond,
    config,
    data_plane,
    existence,
    extras,
    identity,
    pre,
    proxies,
    versions,
    webhooks,
)
from interceptor.mesh.check.linkerd.scope import CRDS, Scope
from interceptor.mesh.check.model import Category


def before_installation(scope: Scope) -> list[Category]:
    """`--pre`."""
    return [config.gateway_category(), pre.category(scope), versions.linkerd_version(scope)]


def installed(scope: Scope, *, data: bool) -> list[Category]:
    """Without and with `--proxy`."""
    control = [
        config.gateway_category(),
        existence.category(scope),
        config.category(scope),
        extras.cni_plugin(scope),
        identity.category(scope),
        webhooks.category(scope),
    ]
    if data:
        return [
            *control,
            proxies.identity_data_plane(scope),
            versions.linkerd_version(scope),
            proxies.control_plane_proxies(scope),
            data_plane.category(scope),
            extras.high_availability(scope),
            beyond.category(scope),
        ]
    return [
        *control,
        versions.linkerd_version(scope),
        versions.control_plane_version(scope),
        proxies.control_plane_proxies(scope),
        extras.high_availability(scope),
        extras.extensions(scope),
    ]


async def present(facts: Facts, scope: Scope) -> bool:
    """Whether anything of a Linkerd is to be seen: its namespace, or one of its kinds."""
    try:
        if await facts.find(resources.NAMESPACES, None, scope.namespace) is not None:
            return True
        return await facts.find(CRDS, None, "serviceprofiles.linkerd.io") is not None
    except NotFound:
        return False
