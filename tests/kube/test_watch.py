from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import psutil
import pytest
from aiohttp import web

from interceptor.kube import ApiError, Cluster, Forbidden, Unreachable, WatchEvent, retry
from interceptor.kube.resources import PODS
from tests.kube.apiserver import ApiServer, Handler, status

PATH = "GET /api/v1/namespaces/shop/pods"


def pod(name: str, version: int, uid: str = "") -> dict[str, Any]:
    return {"metadata": {"name": name, "uid": uid or name, "resourceVersion": str(version)}}


def listing(version: int, *pods: dict[str, Any]) -> tuple[int, Any]:
    return 200, {"metadata": {"resourceVersion": str(version)}, "items": list(pods)}


def line(kind: str, thing: dict[str, Any]) -> bytes:
    return json.dumps({"type": kind, "object": thing}).encode() + b"\n"


def stream(*pieces: bytes, stay: bool = False) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for piece in pieces:
            await response.write(piece)
        if stay:
            await asyncio.sleep(60)
        return response

    return answer


async def take(events: AsyncGenerator[WatchEvent, None], count: int) -> list[str]:
    """The next events, as `TYPE name@version`."""
    seen: list[str] = []
    async with asyncio.timeout(20):
        while len(seen) < count:
            event = await anext(events)
            metadata = event.object.get("metadata")
            seen.append(f"{event.type} {metadata['name']}@{metadata['resourceVersion']}" if metadata else event.type)
    return seen


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "FIRST_PAUSE", 0.01)


async def test_list_then_changes(cluster: Cluster, server: ApiServer) -> None:
    changes = line("ADDED", pod("b", 6)) + line("MODIFIED", pod("a", 7)) + line("DELETED", pod("b", 8))
    server.answer(PATH, listing(5, pod("a", 3)), stream(changes, stay=True))
    async with aclosing(cluster.watch(PODS, "shop", label_selector="app=x")) as events:
        seen = await take(events, 5)
    assert seen == ["ADDED a@3", "SYNCED", "ADDED b@6", "MODIFIED a@7", "DELETED b@8"]
    query = server.seen[1].query
    assert (query["watch"], query["resourceVersion"], query["labelSelector"]) == ("1", "5", "app=x")
    assert query["allowWatchBookmarks"] == "true"


async def test_events_survive_every_split(cluster: Cluster, server: ApiServer) -> None:
    text = line("ADDED", pod("bär", 6)) + line("ADDED", pod("c", 7))
    answers = [stream(text[:cut], text[cut:], stay=True) for cut in range(0, len(text), 5)]
    for answer in answers:
        server.answer(PATH, listing(5), answer)
        async with aclosing(cluster.watch(PODS, "shop")) as events:
            assert await take(events, 3) == ["SYNCED", "ADDED bär@6", "ADDED c@7"]


async def test_end_of_stream_goes_on_from_there(cluster: Cluster, server: ApiServer) -> None:
    first = stream(line("ADDED", pod("a", 6)) + line("BOOKMARK", pod("", 9)))
    server.answer(PATH, listing(5), first, stream(line("ADDED", pod("b", 10)), stay=True))
    async with aclosing(cluster.watch(PODS, "shop")) as events:
        assert await take(events, 3) == ["SYNCED", "ADDED a@6", "ADDED b@10"]
    assert [seen.query.get("resourceVersion") for seen in server.seen] == [None, "5", "9"]


@pytest.mark.parametrize("how", ["answer", "event"])
async def test_expired_version_tells_the_differences(cluster: Cluster, server: ApiServer, how: str) -> None:
    gone = status(410, "Expired", "too old resource version")
    expired = gone if how == "answer" else stream(line("ERROR", gone[1]))
    before = listing(5, pod("kept", 1), pod("changed", 2), pod("gone", 3), pod("reborn", 4, uid="old"))
    after = listing(9, pod("kept", 1), pod("changed", 6), pod("new", 7), pod("reborn", 8, uid="young"))
    server.answer(PATH, before, expired, after, stream(stay=True))
    async with aclosing(cluster.watch(PODS, "shop")) as events:
        assert len(await take(events, 5)) == 5
        assert sorted(await take(events, 5)) == [
            "ADDED new@7",
            "ADDED reborn@8",
            "DELETED gone@3",
            "DELETED reborn@4",
            "MODIFIED changed@6",
        ]
        assert await take(events, 1) == ["SYNCED"]


async def test_broken_server_is_asked_ever_more_rarely(cluster: Cluster, server: ApiServer) -> None:
    server.answer(PATH, listing(5), stream())  # every watch ends at once
    async with aclosing(cluster.watch(PODS, "shop")) as events:
        assert await take(events, 1) == ["SYNCED"]
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(anext(events), name="wait for an event")
            while len(server.seen) < 9:  # noqa: ASYNC110  as often as the client asks
                await asyncio.sleep(0.01)
            waiting.cancel()
    # Pauses double from 10 ms on, half of each by chance: however slow the machine, the first seven take that long.
    assert time.monotonic() - began >= 0.005 * (2**7 - 1)


async def test_failures_in_the_middle_pass(cluster: Cluster, server: ApiServer) -> None:
    async def cut(request: web.Request) -> web.StreamResponse:
        response = await stream(line("ADDED", pod("a", 6)), b'{"type": "ADD')(request)
        assert request.transport is not None
        request.transport.abort()
        return response

    server.answer(PATH, listing(5), cut, status(500), status(429), stream(line("ADDED", pod("b", 7)), stay=True))
    async with aclosing(cluster.watch(PODS, "shop")) as events:
        assert await take(events, 3) == ["SYNCED", "ADDED a@6", "ADDED b@7"]


async def test_lost_right_is_raised(cluster: Cluster, server: ApiServer) -> None:
    server.answer(PATH, listing(5), status(403, "Forbidden", "no more"))
    async with aclosing(cluster.watch(PODS, "shop")) as events:
        await take(events, 1)
        with pytest.raises(Forbidden, match="no more"):
            await take(events, 1)


async def test_first_list_must_work(cluster: Cluster, server: ApiServer) -> None:
    server.answer(PATH, status(500, "InternalError", "etcd is down"))
    async with aclosing(cluster.watch(PODS, "shop")) as events:
        with pytest.raises(ApiError, match="etcd is down"):
            await take(events, 1)


async def test_nonsense_is_not_an_event(cluster: Cluster, server: ApiServer) -> None:
    server.answer(PATH, listing(5), stream(b"<html>\n"), stream(line("ADDED", pod("a", 6)), stay=True))
    async with aclosing(cluster.watch(PODS, "shop")) as events:
        assert await take(events, 2) == ["SYNCED", "ADDED a@6"]


async def test_leaving_ends_the_connection(cluster: Cluster, server: ApiServer) -> None:
    ended = asyncio.Event()

    async def endless(request: web.Request) -> web.StreamResponse:
        response = await stream(line("ADDED", pod("a", 6)))(request)
        try:
            while True:
                await asyncio.sleep(0.02)
                await response.write(b"\n")
        except ConnectionError:
            ended.set()
            raise

    server.answer(PATH, listing(5), endless)
    async with aclosing(cluster.watch(PODS, "shop")) as events:
        await take(events, 2)
    async with asyncio.timeout(20):
        await ended.wait()


async def test_leaving_waits_for_nobody(cluster: Cluster, server: ApiServer) -> None:
    held: list[asyncio.Transport] = []

    async def deaf(request: web.Request) -> web.StreamResponse:
        assert isinstance(request.transport, asyncio.Transport)
        held.append(request.transport)
        request.transport.pause_reading()  # so that the client's end of TLS is never answered
        return await stream(line("ADDED", pod("a", 6)), stay=True)(request)

    server.answer(PATH, listing(5), deaf)
    async with aclosing(cluster.watch(PODS, "shop")) as events:
        await take(events, 2)
    await asyncio.sleep(0)
    ours = [one for one in psutil.Process().net_connections("tcp") if one.raddr and one.raddr.port == server.port]
    held[0].abort()
    assert ours == []


async def test_silence_is_noticed(cluster: Cluster, server: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("interceptor.kube.watch.SILENCE", 0.2)
    server.answer(PATH, listing(5), stream(stay=True), stream(line("ADDED", pod("a", 6)), stay=True))
    began = time.monotonic()
    async with aclosing(cluster.watch(PODS, "shop")) as events:
        assert await take(events, 2) == ["SYNCED", "ADDED a@6"]
    assert time.monotonic() - began >= 0.2


async def test_unreachable_server_is_told(cluster: Cluster, server: ApiServer) -> None:
    await server.stop()
    async with aclosing(cluster.watch(PODS, "shop")) as events:
        with pytest.raises(Unreachable):
            await take(events, 1)
