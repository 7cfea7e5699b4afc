"""Every way of being someone, and every call, on a real cluster."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

import pytest

from e2e.kube.conftest import Place
from interceptor.kube import (
    Access,
    AlreadyExists,
    Cluster,
    Conflict,
    ExecFailed,
    Forbidden,
    Invalid,
    NotFound,
    PortForward,
    PortForwardFailed,
    Unauthorized,
)
from interceptor.kube.resources import CONFIGMAPS, NAMESPACES, PODS, SECRETS, SERVICE_ACCOUNTS
from interceptor.wire.layer import Buffer, LayerError

Accesses = Callable[[str], Access]
WAYS = ["client certificate", "token", "token file", "exec plugin", "impersonation"]
MEGABYTES = 64


class Talk:
    """The least that drives a port-forward."""

    def __init__(self, forward: PortForward) -> None:
        self.sock, self.layers, self.early = forward.sock, forward.layers, forward.early

    async def say(self, words: Buffer) -> None:
        data: Buffer = words
        for layer in reversed(self.layers):
            data = layer.send(data)
        await asyncio.get_running_loop().sock_sendall(self.sock, data)

    async def hear(self) -> memoryview:
        if self.early:
            early, self.early = self.early, b""
            return memoryview(early)
        buffer = bytearray(262144)
        while True:
            count = await asyncio.get_running_loop().sock_recv_into(self.sock, buffer)
            view = memoryview(buffer)[:count]
            for layer in self.layers:
                view = layer.receive(view)
            if view or not count:
                return view


async def request(forward: PortForward, path: str) -> bytes:
    with forward.sock:
        talk = Talk(forward)
        await talk.say(f"GET {path} HTTP/1.1\r\nHost: web\r\n\r\n".encode())
        answer = b""
        async with asyncio.timeout(30):
            while b"\n" not in answer.partition(b"\r\n\r\n")[2]:
                answer += await talk.hear()
    return answer


@pytest.mark.parametrize("way", WAYS)
async def test_each_way_in_does_everything(access: Accesses, place: Place, way: str) -> None:
    async with Cluster(access(way)) as cluster:
        name = await cluster.whoami()
        assert name.endswith(":tester") or way == "client certificate"
        pods = await cluster.list(PODS, place.namespace, label_selector="app=web")
        assert [pod["metadata"]["name"] for pod in pods.items] == ["web"]
        async with aclosing(cluster.watch(PODS, place.namespace)) as events:
            assert [(await anext(events)).type for _ in range(2)] == ["ADDED", "SYNCED"]
        result = await cluster.exec(
            place.namespace, "web", "app", ["sh", "-c", "cat; echo oh >&2; exit 3"], stdin=b"in" * 50_000
        )
        assert (result.exit_code, result.stdout, result.stderr) == (3, b"in" * 50_000, b"oh\n")
        answer = await request(await cluster.port_forward(place.namespace, "web", 8000), "/etc/hostname")
        assert answer.startswith(b"HTTP/1.0 200 OK")
        assert answer.endswith(b"web\n")
        assert (await cluster.allowed("create", PODS, place.namespace, subresource="portforward"))[0]
        assert (await cluster.allowed("delete", NAMESPACES, None))[0] == (way == "client certificate")
        token, expires = await cluster.token(place.namespace, "tester", 600)
        assert token.count(".") == 2
        assert expires.endswith("Z")
        assert "GET" in await cluster.logs(place.namespace, "web", "app")


async def test_objects_live_and_die(access: Accesses, place: Place) -> None:
    async with Cluster(access("token")) as cluster:
        body = {"metadata": {"name": "life"}, "data": {"a": "1"}}
        await cluster.create(CONFIGMAPS, place.namespace, body, dry_run=True)
        made = await cluster.create(CONFIGMAPS, place.namespace, body)
        with pytest.raises(AlreadyExists):
            await cluster.create(CONFIGMAPS, place.namespace, body)
        await cluster.patch(CONFIGMAPS, place.namespace, "life", {"data": {"b": "2"}})
        step = [{"op": "test", "path": "/data/b", "value": "2"}, {"op": "remove", "path": "/data/a"}]
        patched = await cluster.patch(CONFIGMAPS, place.namespace, "life", step)
        assert patched["data"] == {"b": "2"}
        with pytest.raises(Invalid):
            await cluster.patch(CONFIGMAPS, place.namespace, "life", step)
        with pytest.raises(Conflict):
            await cluster.replace(CONFIGMAPS, place.namespace, "life", made)
        with pytest.raises(Conflict):
            await cluster.delete(CONFIGMAPS, place.namespace, "life", uid="another")
        await cluster.delete(CONFIGMAPS, place.namespace, "life", uid=made["metadata"]["uid"])
        with pytest.raises(NotFound):
            await cluster.get(CONFIGMAPS, place.namespace, "life")


async def test_changes_are_watched(access: Accesses, place: Place) -> None:
    async with Cluster(access("token")) as cluster, asyncio.timeout(60):
        name = {"metadata": {"name": "seen"}}
        async with aclosing(cluster.watch(CONFIGMAPS, place.namespace, field_selector="metadata.name=seen")) as events:
            assert (await anext(events)).type == "SYNCED"
            await cluster.create(CONFIGMAPS, place.namespace, name)
            assert (await anext(events)).type == "ADDED"
            await cluster.patch(CONFIGMAPS, place.namespace, "seen", {"data": {"a": "ü" * 100_000}})
            changed = await anext(events)
            assert (changed.type, changed.object["data"]["a"]) == ("MODIFIED", "ü" * 100_000)
            await cluster.delete(CONFIGMAPS, place.namespace, "seen")
            assert (await anext(events)).type == "DELETED"


async def test_missing_rights_are_named(access: Accesses, place: Place) -> None:
    async with Cluster(access("token")) as cluster:
        with pytest.raises(Forbidden, match="no right to list secrets in namespace kube-system"):
            await cluster.list(SECRETS, "kube-system")
        with pytest.raises(Forbidden, match=r"no right to (create|get) pods/exec in namespace kube-system"):
            await cluster.exec("kube-system", "x", "x", ["x"])
        with pytest.raises(Forbidden) as told:
            await cluster.port_forward("kube-system", "x", 80)
        assert (told.value.resource, told.value.namespace) == ("pods/portforward", "kube-system")
        assert told.value.verb in ("create", "get")  # create from Kubernetes 1.35 on


async def test_refused_token_is_read_again(access: Accesses, place: Place, tmp_path: Path) -> None:
    async with Cluster(access("token file")) as cluster:
        await cluster.list(PODS, place.namespace)
        (tmp_path / "token").write_text("nonsense")
        with pytest.raises(Unauthorized):
            await cluster.list(PODS, place.namespace)
        with pytest.raises(Unauthorized):
            await cluster.port_forward(place.namespace, "web", 8000)
        (tmp_path / "token").write_text(place.token)
        await cluster.list(PODS, place.namespace)


async def test_closed_port_is_told_verbatim(access: Accesses, place: Place) -> None:
    async with Cluster(access("token")) as cluster:
        with pytest.raises((LayerError, PortForwardFailed), match="connection refused"):
            await request(await cluster.port_forward(place.namespace, "web", 9999), "/")
        with pytest.raises(NotFound, match='pods "nobody" not found'):
            await cluster.port_forward(place.namespace, "nobody", 8000)
        with pytest.raises(ExecFailed, match=r"could not run: .*no-such-program"):
            await cluster.exec(place.namespace, "web", "app", ["no-such-program"])
        with pytest.raises(NotFound):
            await cluster.get(SERVICE_ACCOUNTS, place.namespace, "nobody")


async def test_bulk_passes_both_ways(access: Accesses, place: Place) -> None:
    size = MEGABYTES << 20
    pattern = memoryview(bytes(range(256)) * 256)
    async with Cluster(access("client certificate")) as cluster:
        opening = []
        for _ in range(10):
            began = time.perf_counter()
            (await cluster.port_forward(place.namespace, "web", 8001)).sock.close()
            opening.append(time.perf_counter() - began)
        with (forward := await cluster.port_forward(place.namespace, "web", 8001)).sock:
            talk, count, began = Talk(forward), 0, time.perf_counter()
            await talk.say(b"down %d\n" % size)
            async with asyncio.timeout(60):
                while count < size:
                    view = await talk.hear()
                    offset = count % 256
                    assert view[:100] == pattern[offset : offset + len(view[:100])]
                    count += len(view)
            down = MEGABYTES / (time.perf_counter() - began)
        with (forward := await cluster.port_forward(place.namespace, "web", 8001)).sock:
            talk, began = Talk(forward), time.perf_counter()
            await talk.say(b"up %d\n" % size)
            async with asyncio.timeout(60):
                for _ in range(size // len(pattern)):
                    await talk.say(pattern)
                assert bytes(await talk.hear()) == b"ok"
            up = MEGABYTES / (time.perf_counter() - began)
    opening.sort()
    print(
        f"open p50 {opening[5] * 1000:.1f} ms, max {opening[-1] * 1000:.1f} ms; {down:.0f} MB/s down, {up:.0f} MB/s up"
    )
