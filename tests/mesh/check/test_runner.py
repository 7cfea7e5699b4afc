"""Checks run together and are told in order."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from interceptor.kube import Cluster, load_access
from interceptor.kube.resources import PODS, SERVICES
from interceptor.mesh.check import facts as facts_module
from interceptor.mesh.check.facts import Facts
from interceptor.mesh.check.linkerd.scope import Scope, values
from interceptor.mesh.check.model import PASSED, SKIPPED, Broken, Category, Check, Failed, Part, Row, Verdict
from interceptor.mesh.check.runner import run
from tests.mesh.api import MeshApi
from tests.mesh.cluster import kubeconfig


@pytest_asyncio.fixture
async def cluster(api: MeshApi, tmp_path: Path) -> AsyncIterator[Cluster]:
    async with Cluster(load_access(kubeconfig(tmp_path, api.url)), total=2) as cluster:
        yield cluster


def category(*checks: Check, part: Part = "mesh", name: str = "some") -> Category:
    return Category(name, checks, part)


def saying(sentence: str, verdict: Verdict, *, fatal: bool = False, warning: bool = False) -> Check:
    async def judge(_: Facts) -> Verdict:
        return verdict

    return Check(sentence, judge, "anchor", fatal=fatal, warning=warning)


async def told(cluster: Cluster, *categories: Category, wait: float = 0) -> tuple[bool, list[Row]]:
    rows: list[Row] = []
    return await run(cluster, categories, rows.append, wait=wait), rows


def results(rows: list[Row]) -> list[tuple[str, str]]:
    return [(row.sentence, row.result) for row in rows]


async def test_warning_fails_nothing(cluster: Cluster) -> None:
    good, rows = await told(cluster, category(saying("a", Failed("x"), warning=True), saying("b", PASSED)))
    assert good
    assert results(rows) == [("a", "warning"), ("b", "success")]
    assert rows[0].hint == "https://linkerd.io/2/checks/#anchor"


async def test_skipped_is_not_told(cluster: Cluster) -> None:
    assert results((await told(cluster, category(saying("a", SKIPPED), saying("b", PASSED))))[1]) == [("b", "success")]


async def test_fatal_ends_its_part(cluster: Cluster) -> None:
    mesh = category(saying("a", Failed("x"), fatal=True), saying("b", PASSED)), category(saying("c", PASSED))
    good, rows = await told(cluster, *mesh, category(saying("d", PASSED), part="own"))
    assert not good
    assert results(rows) == [("a", "error"), ("d", "success")]


async def test_without_api_nothing_else_is_said(cluster: Cluster) -> None:
    first = category(saying("a", Failed("x"), fatal=True), part="kubernetes")
    assert len((await told(cluster, first, category(saying("b", PASSED), part="own")))[1]) == 1


async def test_missing_right_is_unknown(cluster: Cluster, api: MeshApi) -> None:
    api.refused.add("pods")

    async def judge(facts: Facts) -> Verdict:
        await facts.list(PODS, "shop")
        return PASSED

    good, rows = await told(cluster, category(Check("a", judge, fatal=True), saying("b", PASSED)))
    assert good
    assert rows[0].error == "unknown: missing right list pods in namespace shop"
    assert results(rows) == [("a", "unknown"), ("b", "success")]


async def test_broken_thing_fails_all_who_need_it(cluster: Cluster) -> None:
    async def judge(_: Facts) -> Verdict:
        raise Broken("no YAML")

    _, rows = await told(cluster, category(Check("a", judge), Check("b", judge)))
    assert [row.error for row in rows] == ["no YAML", "no YAML"]


async def test_reads_are_shared(cluster: Cluster, api: MeshApi) -> None:
    async def judge(facts: Facts) -> Verdict:
        return PASSED if await facts.list(PODS, None) else Failed("none")

    await told(cluster, category(*(Check(str(number), judge) for number in range(10))))
    assert api.asked.count("/api/v1/pods") == 1


async def test_more_checks_than_turns_end(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts_module, "AT_ONCE", 1)

    async def judge(facts: Facts) -> Verdict:
        return PASSED if await values(facts, Scope()) else Failed("none")

    _, rows = await told(cluster, category(*(Check(str(number), judge) for number in range(5))))
    assert {row.result for row in rows} == {"success"}


async def test_dead_part_delays_only_its_own(cluster: Cluster, api: MeshApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts_module, "WITHIN", 1.5)
    api.slow.add("services")
    done: list[str] = []

    async def pods(facts: Facts) -> Verdict:
        await facts.list(PODS, None)
        done.append("pods")
        return PASSED

    async def services(facts: Facts) -> Verdict:
        try:
            await facts.list(SERVICES, None)
        finally:
            done.append("services")
        return PASSED

    _, rows = await told(cluster, category(Check("services", services), Check("pods", pods)))
    assert results(rows) == [("services", "unknown"), ("pods", "success")]
    assert rows[0].error == "unknown: no answer within 1.5 s"
    assert done == ["pods", "services"]


async def test_waiting_heals(cluster: Cluster, api: MeshApi) -> None:
    api.remove("ConfigMap", "linkerd-config")
    looks = 0

    async def judge(facts: Facts) -> Verdict:
        nonlocal looks
        looks += 1
        await facts.list(PODS, None)
        return PASSED if looks == 2 else Failed("not yet")

    async def behind(facts: Facts) -> Verdict:
        await facts.list(PODS, None)
        return PASSED

    good, rows = await told(cluster, category(Check("a", judge, retry=True), Check("b", behind)), wait=5)
    assert good
    assert results(rows) == [("a", "success"), ("b", "success")]
    assert api.asked.count("/api/v1/pods") == 2  # the second look is one at the whole, for both


async def test_waiting_ends(cluster: Cluster) -> None:
    check = Check("a", saying("a", Failed("never")).judge, retry=True)
    good, rows = await told(cluster, category(check), wait=0.5)
    assert not good
    assert rows[0].error == "never"


async def test_bug_is_not_swallowed(cluster: Cluster) -> None:
    async def judge(_: Facts) -> Verdict:
        raise ZeroDivisionError

    with pytest.raises(ExceptionGroup):
        await told(cluster, category(Check("a", judge)))
