"""Whom the words blame when Pod Security refuses a debug container; its messages are those of a real API server."""

from __future__ import annotations

from typing import Any

import pytest

from interceptor.kube import Forbidden
from interceptor.kube.errors import Call
from interceptor.session.debug.container import refused
from interceptor.session.debug.options import DebugOptions

NEW, OLD = "interceptor-debug-fhpjt", "interceptor-debug-gq7kq"
CAPABILITY = 'must not include "SYS_PTRACE" in securityContext.capabilities.add)'
BASELINE = '"baseline:latest": non-default capabilities'


def forbidden(message: str) -> Forbidden:
    return Forbidden(message, status=403, call=Call("patch"))


def said(why: str, *, ephemeral: tuple[str, ...] = (), **options: Any) -> tuple[str, str]:
    pod = {
        "metadata": {"name": "orders", "namespace": "shop"},
        "spec": {"containers": [{"name": "app"}], "ephemeralContainers": [{"name": name} for name in ephemeral]},
    }
    error = forbidden(f'pods "orders" is forbidden: violates PodSecurity {why}')
    told = refused(error, pod, NEW, DebugOptions("orders", **options))
    return told.message, told.hint or ""


def test_profile_is_blamed_for_itself() -> None:
    message, hint = said(f'{BASELINE} (container "{NEW}" {CAPABILITY}', ephemeral=(OLD,))
    assert "refuses the profile general" in message
    assert "--profile restricted" in hint


@pytest.mark.parametrize(
    ("who", "profile", "way"),
    [
        (f'container "{OLD}"', "general", "--copy --profile general"),
        (f'container "{OLD}"', "restricted", "--copy --profile restricted"),
        (f'containers "{OLD}", "{NEW}"', "general", "--copy --profile restricted"),
    ],
)
def test_earlier_one_is_blamed(who: str, profile: str, way: str) -> None:
    message, hint = said(f"{BASELINE} ({who} {CAPABILITY}", ephemeral=(OLD,), profile=profile)
    assert f"refuses what was put into pod orders before, {OLD}" in message
    assert hint.endswith(way)


@pytest.mark.parametrize(
    "why",
    [
        '"restricted:latest": allowPrivilegeEscalation != false (containers "app", "' + OLD + '" must set '
        'securityContext.allowPrivilegeEscalation=false), runAsNonRoot != true (pod or container "app" must set …',
        '"baseline:latest": host namespaces (hostNetwork=true)',
    ],
)
def test_pod_itself_is_blamed(why: str) -> None:
    message, hint = said(why, ephemeral=(OLD,), profile="restricted")
    assert "refuses pod orders as it is" in message
    assert "--copy" not in hint


def test_other_refusals_stay() -> None:
    error = forbidden("pods is forbidden: User cannot patch")
    assert refused(error, {"metadata": {}, "spec": {}}, NEW, DebugOptions("orders")) is error
