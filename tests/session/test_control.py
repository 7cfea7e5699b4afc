"""What other commands get from a session over its control socket."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from interceptor.errors import InterceptorError
from interceptor.mesh.traffic import sockets
from interceptor.mesh.traffic.hub import Hub, Observed
from interceptor.mesh.traffic.sockets import connect, running
from interceptor.session import control as control_module
from interceptor.session.control import Control
from tests.session.scene import Recorder

ABOUT = {"session": "orders-abcde", "server": "https://c", "namespace": "shop", "kind": "Deployment", "name": "orders"}
ASK = b"GET /books/7?token=s3cret HTTP/1.1\r\nHost: shop\r\nAuthorization: Bearer s3cret\r\nCookie: a=b\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nSet-Cookie: a=b\r\n\r\nhi"


@pytest.fixture
def _files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a system without abstract sockets."""
    monkeypatch.setattr(sockets, "ABSTRACT", False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


@asynccontextmanager
async def served(hub: Hub) -> AsyncIterator[str]:
    async with asyncio.TaskGroup() as group:
        control = Control(hub, ABOUT, Recorder())
        serving = group.create_task(control.serve(), name="control")
        await control.listening.wait()
        (session,) = [one for one in await running() if one.session == ABOUT["session"]]
        yield session.address
        serving.cancel()


def open_one(hub: Hub, pod: str, target: dict[str, Any]) -> Observed:
    connection = hub.watcher(pod).inbound(target)
    assert connection is not None
    return connection


def pass_by(connection: Observed, answer: bytes = OK, ask: bytes = ASK) -> None:
    connection.to_socket(memoryview(ask))
    connection.from_socket(memoryview(answer))


async def take(path: str, question: dict[str, Any], hub: Hub, count: int, answer: bytes = OK) -> list[dict[str, Any]]:
    """Tap, let `count` requests pass, return what came."""
    found: list[dict[str, Any]] = []
    connection = open_one(hub, "orders-1", {"peer": "10.0.0.7:1234", "port": 8080})
    async with connect(path) as link, asyncio.timeout(20):
        async for line in link.follow({"do": "tap", **question}):
            if "tapping" in line:
                for _ in range(count):
                    pass_by(connection, answer)
            else:
                found.append(line)
            if len(found) == count:
                break
    return found


async def test_running_sessions() -> None:
    async with served(Hub()):
        (found,) = [one for one in await running() if one.session == ABOUT["session"]]
        assert found.title == "deployment orders in namespace shop"
    assert ABOUT["session"] not in [one.session for one in await running()]


async def test_runs_are_no_intercepts() -> None:
    """What one `run` sees is only its own program's: no command takes it for what callers get."""
    async with asyncio.TaskGroup() as group:
        control = Control(Hub(), {**ABOUT, sockets.BESIDE: "yes"}, Recorder())
        serving = group.create_task(control.serve(), name="control")
        await control.listening.wait()
        assert ABOUT["session"] not in [one.session for one in await running()]
        assert ABOUT["session"] in [one.session for one in await running(beside=True)]
        serving.cancel()


async def test_other_users_are_not_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    async with served(Hub()) as address:
        monkeypatch.setattr(control_module, "is_ours", lambda _: False)
        with pytest.raises(InterceptorError, match="the session ended"):
            async with connect(address) as link:
                await link.ask({"do": "hello"})
        monkeypatch.setattr(sockets, "is_ours", lambda _: False)
        with pytest.raises(PermissionError):
            async with connect(address):
                pass


@pytest.mark.usefixtures("_files")
async def test_files_where_names_must_be_files(tmp_path: Path) -> None:
    folder = tmp_path / "interceptor"
    folder.mkdir(0o700)
    (folder / "old-zzzzz.sock").touch()
    async with served(Hub()) as address:
        (found,) = folder.iterdir()
        assert (str(found), stat.S_IMODE(found.stat().st_mode)) == (address, 0o600)
    assert not folder.exists()


async def test_records() -> None:
    hub = Hub()
    async with served(hub) as path:
        (record,) = await take(path, {}, hub, 1)
    assert (record["method"], record["path"], record["status"]) == ("GET", "/books/7?token=***", 200)
    assert (record["pod"], record["peer"], record["direction"]) == ("orders-1", "10.0.0.7:1234", "inbound")
    assert record["request_headers"] == [["host", "shop"], ["authorization", "Bearer ***"], ["cookie", "***"]]
    assert "s3cret" not in str(record)


async def test_secrets_on_request() -> None:
    hub = Hub()
    async with served(hub) as path:
        (record,) = await take(path, {"secrets": True, "bodies": 1}, hub, 1)
    assert record["path"] == "/books/7?token=s3cret"
    assert ["authorization", "Bearer s3cret"] in record["request_headers"]
    assert record["response_body"] == "aA=="


async def test_filtered() -> None:
    hub = Hub()
    connection = open_one(hub, "p", {"peer": "10.0.0.7:1", "port": 80})
    async with served(hub) as path, connect(path) as link, asyncio.timeout(20):
        async for line in link.follow({"do": "tap", "filter": {"statuses": ["5xx"]}}):
            if "tapping" in line:
                pass_by(connection)
                pass_by(connection, b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")
            else:
                assert (line["status"], line["failed"]) == (503, True)
                break


async def test_unread_records_are_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_module, "MOST_UNREAD", 20_000)
    hub = Hub()
    connection = open_one(hub, "p", {"peer": "10.0.0.7:1", "port": 80})
    async with served(hub) as path, connect(path) as link, asyncio.timeout(20):
        lines = link.follow({"do": "tap"})
        assert "tapping" in await anext(lines)
        for _ in range(3000):  # more than the kernel's buffers and ours hold
            pass_by(connection)
        (tap,) = hub.taps
        dropped = tap.dropped
        assert dropped > 0
        for _ in range(3000 - dropped):
            await anext(lines)
        pass_by(connection)
        assert (await anext(lines))["dropped"] == dropped
        await lines.aclose()
    assert sum(counts.success for counts in hub.traffic.total.values()) == 3001


async def test_long_requests_are_shown_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_module, "LOOK_EVERY", 0.05)
    now = [100.0]
    hub = Hub(clock=lambda: now[0])
    connection = open_one(hub, "p", {"peer": "10.0.0.7:1", "port": 80})
    async with served(hub) as path, connect(path) as link, asyncio.timeout(20):
        connection.to_socket(memoryview(ASK))
        now[0] += 3.0
        lines = link.follow({"do": "tap"})
        await anext(lines)
        first = await anext(lines)
        assert (first["stage"], first["status"], first["failed"]) == ("open", 0, False)
        connection.finished()
        last = await anext(lines)
        assert (last["stage"], last["failed"], last["duration_ms"]) == ("ended", True, 3000.0)
        await lines.aclose()


async def test_traffic() -> None:
    hub = Hub()
    connection = open_one(hub, "p", {"peer": "10.0.0.7:1", "port": 80})
    for _ in range(3):
        pass_by(connection)
    open_one(hub, "p", {"peer": "10.0.0.7:1", "port": 80}).to_socket(memoryview(b"\x16\x03\x01"))
    async with served(hub) as path, connect(path) as link:
        answer = await link.ask({"do": "traffic", "window": 30})
    ((direction, authority, route, counts),) = answer["routes"]
    assert (direction, authority, route, counts["success"]) == ("inbound", "", "GET /books/{id}", 3)
    assert (answer["connections"], answer["opaque"]) == (2, {"TLS": 1})


async def test_small_pieces_wait_a_moment() -> None:
    loop = asyncio.get_running_loop()
    hub = Hub(call_later=loop.call_later)
    connection = open_one(hub, "p", {"peer": "10.0.0.7:1", "port": 80})
    for _ in range(100):
        pass_by(connection)
    large = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + b"x" * 5000
    pass_by(connection, large)
    assert sum(counts.success for counts in hub.traffic.total.values()) == 101
    pass_by(connection)
    connection.finished()
    assert sum(counts.success for counts in hub.traffic.total.values()) == 101
    async with served(hub) as address, connect(address) as link:
        answer = await link.ask({"do": "traffic"})
    assert [row[3]["success"] for row in answer["routes"]] == [102]


async def test_what_waits_is_read_by_itself() -> None:
    hub = Hub(call_later=asyncio.get_running_loop().call_later)
    connection = open_one(hub, "p", {"peer": "10.0.0.7:1", "port": 80})
    pass_by(connection)
    async with served(hub) as address:
        assert (await take(address, {}, hub, 1))[0]["status"] == 200
    assert sum(counts.success for counts in hub.traffic.total.values()) == 2


@pytest.mark.parametrize(
    ("question", "error"),
    [
        ({"do": "dance"}, "this version does not know 'dance'"),
        ({"do": "tap", "filter": {"statuses": ["x"]}}, "'x' is not"),
        ({"do": "tap", "filter": [1]}, "a filter is a JSON object"),
        ({"do": "tap", "bodies": {}}, "bodies is a number"),
        ({"do": "traffic", "window": []}, "window is a number"),
        ({"do": "traffic", "window": float("nan")}, "window is a number"),
        ({"do": "traffic", "window": 10**400}, "window is a number"),
    ],
)
async def test_bad_questions(question: dict[str, Any], error: str) -> None:
    async with served(Hub()) as path, connect(path) as link:
        with pytest.raises(InterceptorError, match=error):
            await link.ask(question)
        assert (await link.ask({"do": "hello"}))["session"] == "orders-abcde"


@pytest.mark.usefixtures("_files")
async def test_no_folder_is_no_end(tmp_path: Path) -> None:
    (tmp_path / "interceptor").write_text("")
    teller = Recorder()
    await Control(Hub(), ABOUT, teller).serve()
    assert [event.name for event in teller.events] == ["note"]


@pytest.mark.parametrize("passes", [0, 2, 3, 4])  # after 1, asyncio itself forgets it (python/cpython#109564)
async def test_caller_at_the_end_is_sent_away(passes: int) -> None:
    """However far the loop has come with a caller when the session ends."""
    async with asyncio.TaskGroup() as group:
        control = Control(Hub(), ABOUT, Recorder())
        serving = group.create_task(control.serve(), name="control")
        await control.listening.wait()
        (session,) = [one for one in await running() if one.session == ABOUT["session"]]
        caller = socket.socket(socket.AF_UNIX)
        caller.setblocking(False)
        address = session.address
        caller.connect(f"\0{address[1:]}" if address.startswith("@") else address)
        for _ in range(passes):
            await asyncio.sleep(0)
        serving.cancel()
    with caller:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(20):
            with contextlib.suppress(ConnectionResetError):
                assert await loop.sock_recv(caller, 1) == b""
