"""Envoy itself: levels of its loggers, set in one request and put back."""

from __future__ import annotations

import pytest

from interceptor.errors import UsageError
from interceptor.kube import Cluster
from interceptor.mesh.loglevel.envoy import EnvoyAdmin, compressed, expanded
from interceptor.mesh.loglevel.model import Back, LevelRefused, Sidecar, put_back
from interceptor.mesh.loglevel.syntax import Wanted, parse

FIRST = "warning,upstream=info"


async def test_levels_come_and_go(cluster: Cluster, envoy: Sidecar) -> None:
    admin = EnvoyAdmin(cluster, envoy)
    assert await admin.read() == FIRST
    text = await admin.text_for(parse("info,http:debug"))
    ours = await admin.set(text)
    assert ours == text == "info,http=debug"
    assert "headers" in admin.warning(ours)
    assert await put_back(EnvoyAdmin(cluster, envoy), FIRST, ours) == Back("back", FIRST)
    assert admin.warning(FIRST) == ""


async def test_unnamed_loggers_stay(cluster: Cluster, envoy: Sidecar) -> None:
    admin = EnvoyAdmin(cluster, envoy)
    await admin.read()
    assert await admin.set(await admin.text_for(parse("router=critical,admin=off"))) == (
        "warning,admin=off,router=critical,upstream=info"
    )


async def test_reset_is_how_it_began(cluster: Cluster, envoy: Sidecar) -> None:
    admin = EnvoyAdmin(cluster, envoy)
    await admin.read()
    await admin.set(await admin.text_for(parse("trace")))
    assert await admin.set(await admin.text_for(Wanted(reset=True))) == FIRST


async def test_unknown_logger_changes_nothing(cluster: Cluster, envoy: Sidecar) -> None:
    admin = EnvoyAdmin(cluster, envoy)
    await admin.read()
    with pytest.raises(UsageError, match="no logger 'htpp'") as refused:
        await admin.text_for(parse("debug,htpp=trace"))
    assert refused.value.hint == "did you mean http?"
    assert await admin.read() == FIRST


async def test_wrong_port_is_said(cluster: Cluster, linkerd: Sidecar) -> None:
    with pytest.raises(LevelRefused, match="does not tell its log levels: HTTP 405"):
        await EnvoyAdmin(cluster, linkerd).read()


def test_texts_are_exact() -> None:
    loggers = {"a": "warning", "b": "debug", "c": "warning", "d": "off"}
    assert compressed(loggers) == "warning,b=debug,d=off"
    assert expanded(compressed(loggers), dict.fromkeys(loggers, "info")) == loggers
    assert expanded("b=trace", loggers) == {**loggers, "b": "trace"}
