"""Linkerd's proxy: what is read is written differently from what is set, and the way back is exact all the same."""

from __future__ import annotations

import pytest

from interceptor.errors import UsageError
from interceptor.kube import Cluster
from interceptor.mesh.loglevel.linkerd import LinkerdAdmin
from interceptor.mesh.loglevel.model import Back, LevelRefused, Sidecar, put_back
from interceptor.mesh.loglevel.syntax import Wanted, parse
from tests.mesh.loglevel.conftest import FIRST, GIVEN


async def test_guards_are_kept(cluster: Cluster, linkerd: Sidecar) -> None:
    admin = LinkerdAdmin(cluster, linkerd)
    text = await admin.text_for(parse("warn,linkerd=debug"))
    assert text == "warn,linkerd=debug,[{headers}]=off,[{request}]=off"
    now = await admin.set(text)
    assert now != text
    assert (admin.short(now), admin.warning(now)) == ("linkerd=debug,warn", "")


async def test_named_guard_is_typed(cluster: Cluster, linkerd: Sidecar) -> None:
    admin = LinkerdAdmin(cluster, linkerd)
    text = await admin.text_for(parse("debug,[{headers}]=debug"))
    assert text == "debug,[{headers}]=debug,[{request}]=off"
    assert "headers" in admin.warning(await admin.set(text))


@pytest.mark.parametrize("before", [GIVEN, "warn", "linkerd=trace,info,[{headers}]=off", "error,linkerd=debug"])
async def test_way_back_is_exact(cluster: Cluster, linkerd: Sidecar, before: str) -> None:
    admin = LinkerdAdmin(cluster, linkerd)
    first = await admin.set(before)
    ours = await admin.set("trace")
    assert await put_back(admin, first, ours) == Back("back", first)
    assert await put_back(admin, first, ours) == Back("already", first)


async def test_others_level_stays(cluster: Cluster, linkerd: Sidecar) -> None:
    admin = LinkerdAdmin(cluster, linkerd)
    before = await admin.read()
    assert before == FIRST
    ours = await admin.set("trace")
    theirs = await admin.set("info")
    assert await put_back(admin, before, ours) == Back("theirs", theirs)


async def test_reset_is_how_it_began(cluster: Cluster, linkerd: Sidecar) -> None:
    admin = LinkerdAdmin(cluster, linkerd)
    await admin.set("trace")
    assert await admin.set(await admin.text_for(Wanted(reset=True))) == FIRST


async def test_refusal_is_said(cluster: Cluster, linkerd: Sidecar) -> None:
    admin = LinkerdAdmin(cluster, linkerd)
    with pytest.raises(LevelRefused, match="refuses the level a=b: invalid filter directive"):
        await admin.set("a=b")
    with pytest.raises(UsageError, match="critical is a level of Envoy's"):
        await admin.text_for(parse("critical"))
    assert await admin.read() == FIRST
