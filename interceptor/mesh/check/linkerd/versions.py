"""Versions: of the control plane, of the proxies, and what counts as the latest; `control_plane` and `data_plane` list it.

Nothing is asked of the Internet: the latest is `--expected-version`, else what the control plane runs. This client has no
Linkerd version of its own, so where Linkerd compares with its CLI, the control plane's version stands for it.
"""

from __future__ import annotations

from typing import Any

from interceptor.kube import NotFound
from interceptor.mesh.check.facts import Facts
from interceptor.mesh.check.linkerd.scope import Scope, proxy_of, value, values
from interceptor.mesh.check.model import PASSED, Broken, Category, Check, Failed, Unknown, Verdict
from interceptor.mesh.podstatus import pod_status

Object = dict[str, Any]

_PROXY_VERSION = "linkerd.io/proxy-version"


def linkerd_version(scope: Scope) -> Category:
    """`linkerd-version`."""

    async def latest_known(facts: Facts) -> Verdict:
        try:
            split(await latest(facts, scope))
        except NotFound:
            return Unknown("no control plane to ask, and no --expected-version")
        return PASSED

    async def current(facts: Facts) -> Verdict:
        if scope.expected:
            try:
                return match(scope.expected, await control_plane(facts, scope))
            except NotFound:
                return PASSED
        return PASSED if not isinstance(known := await latest_known(facts), Unknown) else known

    return Category(
        "linkerd-version",
        (
            Check("can determine the latest version", latest_known, "l5d-version-latest", warning=True),
            Check("cli is up-to-date", current, "l5d-version-cli", warning=True),
        ),
    )


def control_plane_version(scope: Scope) -> Category:
    """`control-plane-version`."""

    async def known(facts: Facts) -> Verdict:
        await control_plane(facts, scope)
        return PASSED

    async def current(facts: Facts) -> Verdict:
        return match(await latest(facts, scope), await control_plane(facts, scope))

    async def same(facts: Facts) -> Verdict:
        await control_plane(facts, scope)
        return PASSED

    return Category(
        "control-plane-version",
        (
            Check("can retrieve the control plane version", known, "l5d-version-control", fatal=True, retry=True),
            Check("control plane is up-to-date", current, "l5d-version-control", warning=True),
            Check("control plane and cli versions match", same, "l5d-version-control", warning=True),
        ),
    )


async def control_plane(facts: Facts, scope: Scope) -> str:
    """The version that is installed."""
    version = str(value(await values(facts, scope), "linkerdVersion") or "")
    if not version:
        raise Broken("the control plane's version is not in linkerd-config")
    return version


async def latest(facts: Facts, scope: Scope) -> str:
    """What the others should be."""
    return scope.expected or await control_plane(facts, scope)


def split(version: str) -> tuple[str, str]:
    """Channel and number: `edge-26.8.1`."""
    channel, dash, number = version.partition("-")
    if not dash:
        raise Broken(f"unsupported version format: {version}")
    return channel, number


def match(expected: str, actual: str) -> Verdict:
    """Compare in Linkerd's words."""
    if expected == actual:
        return PASSED
    wanted_channel, wanted = split(expected)
    channel, number = split(actual)
    if channel != wanted_channel:
        return Failed(f"mismatched channels: running {actual} but retrieved {expected}")
    return Failed(f"is running version {number} but the latest {channel} version is {wanted}")


def proxy_version(pod: Object) -> str:
    """What a pod's proxy runs: its image's tag, else what the injector noted; empty where neither tells."""
    proxy = proxy_of(pod)
    if proxy is None:
        return ""
    name = proxy["image"].rpartition("/")[2]
    if "@" not in name and ":" in name:
        return str(name.rpartition(":")[2])
    return str((pod["metadata"].get("annotations") or {}).get(_PROXY_VERSION, ""))


def outdated(pods: list[Object], expected: str) -> Verdict:
    """Which running proxies are not of the expected version."""
    versions = [(pod["metadata"]["name"], proxy_version(pod)) for pod in pods if pod_status(pod) == "Running"]
    old = [f"\t* {name} ({version})" for name, version in versions if version and version != expected]
    return Failed("\n".join(["some proxies are not running the current version:", *old])) if old else PASSED


def differing(pods: list[Object], own: str) -> Verdict:
    """The first proxy of another version than ours; as above, of those that run."""
    for pod in pods:
        version = proxy_version(pod)
        if version and version != own and pod_status(pod) == "Running":
            return Failed(f"{pod['metadata']['name']} running {version} but cli running {own}")
    return PASSED
