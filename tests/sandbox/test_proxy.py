"""Real clients (curl, urllib, raw sockets) reach real servers through the proxy, and learn why they don't."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from interceptor.sandbox.environment import ProxyAddress, proxy_variables
from interceptor.sandbox.proxy import MAX_HANDSHAKES
from interceptor.tunnel.errors import StreamRefused
from interceptor.wire.reasons import Reason
from tests.sandbox.dialing import proxy_running


@asynccontextmanager
async def http_server() -> AsyncIterator[int]:
    """Answers every request with its own head and body, so that a test sees what arrived."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next((int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")), 0)
        body = head + await reader.readexactly(length)
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def run(*argv: str, **environ: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={"PATH": os.environ["PATH"], **environ},
    )
    out, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode()


async def say(address: ProxyAddress, data: bytes) -> bytes:
    """Send `data` and read to the end."""
    reader, writer = await asyncio.open_connection(*address)
    writer.write(data)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


@pytest.mark.parametrize("option", ["--socks5-hostname", "--proxytunnel --proxy", "--proxy"])
async def test_curl_gets_through(option: str) -> None:
    async with http_server() as port, proxy_running() as (proxy, dialer):
        target = f"http://orders:{port}/list?all=1"
        address = f"127.0.0.1:{proxy.address.port}"
        status, said = await run("curl", "-sS", *option.split(), address, "-d", "x=" + "y" * 70_000, target)
    assert status == 0, said
    assert said.startswith("POST /list?all=1 HTTP/1.1\r\n")
    assert said.endswith("y" * 70_000)
    assert f"\r\nHost: orders:{port}\r\n" in said
    assert dialer.dialed == [("orders", port)]


async def test_variables_are_enough() -> None:
    script = "import sys, urllib.request as r; print(r.urlopen(sys.argv[1]).read().decode())"
    async with http_server() as port, proxy_running() as (proxy, dialer):
        url = f"http://orders:{port}/"
        status, said = await run(sys.executable, "-c", script, url, **proxy_variables(proxy.address))
        curl_status, _ = await run("curl", "-sS", url, **proxy_variables(proxy.address))
        bypass, _ = await run("curl", "-sS", f"http://127.0.0.1:{port}/", **proxy_variables(proxy.address))
    assert (status, curl_status, bypass) == (0, 0, 0), said
    assert dialer.dialed == [("orders", port)] * 2


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        (Reason.REFUSED, 5), (Reason.UNREACHABLE, 4), (Reason.NETWORK, 3), (Reason.TIMEOUT, 6), (Reason.NAME, 4),
        (Reason.DENIED, 2), (Reason.GONE, 1), (Reason.BROKEN, 1),
    ],
)  # fmt: skip
async def test_socks_says_why(reason: Reason, code: int) -> None:
    async with proxy_running() as (proxy, dialer):
        dialer.refuse = StreamRefused(reason, "so")
        answer = await say(proxy.address, b"\x05\x01\x00" + b"\x05\x01\x00\x03\x06orders\x00\x50")
    assert answer == b"\x05\x00" + bytes([5, code, 0, 1]) + bytes(6)


@pytest.mark.parametrize(("reason", "status"), [(Reason.REFUSED, 502), (Reason.NAME, 502), (Reason.TIMEOUT, 504)])
@pytest.mark.parametrize("request_line", ["CONNECT orders:80", "GET http://orders/"])
async def test_http_says_why(reason: Reason, status: int, request_line: str) -> None:
    async with proxy_running() as (proxy, dialer):
        dialer.refuse = StreamRefused(reason, "it is so")
        answer = await say(proxy.address, f"{request_line} HTTP/1.1\r\n\r\n".encode())
    why = "interceptor: orders:80 from the pod: it is so"
    assert answer.startswith(f"HTTP/1.1 {status} {why}\r\n".encode())
    assert answer.endswith(f"\r\n\r\n{why}\n".encode())


async def test_curl_shows_why() -> None:
    async with proxy_running() as (proxy, _):
        status, said = await run("curl", "-sS", "-v", "-p", "-x", proxy.address.http, "http://nowhere/")
    assert status == 56
    assert "interceptor: nowhere:80 from the pod: nowhere does not resolve" in said


async def test_silent_dial_times_out() -> None:
    async with proxy_running(dial_seconds=0.1) as (proxy, dialer):
        dialer.hang = True
        answer = await say(proxy.address, b"CONNECT orders:80 HTTP/1.1\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 504 ")


async def test_slow_asker_is_dropped() -> None:
    async with proxy_running(ask_seconds=0.1) as (proxy, _):
        assert await say(proxy.address, b"") == b""
        assert await say(proxy.address, b"GET http://orders/ HTT") == b""


@pytest.mark.slow
async def test_slow_askers_make_room() -> None:
    """A slow-loris: more connections than there are handshakes, none of which ever asks."""
    async with http_server() as port, proxy_running(ask_seconds=60) as (proxy, dialer):
        loris = await asyncio.to_thread(connect_all, proxy.address, MAX_HANDSHAKES + 50)
        request = f"GET http://orders:{port}/ HTTP/1.1\r\nHost: orders\r\nConnection: close\r\n\r\n"
        async with asyncio.timeout(30):
            assert (await say(proxy.address, request.encode())).startswith(b"HTTP/1.1 200 ")
        assert dialer.dialed == [("orders", port)]
        for each in loris:
            each.close()


def connect_all(address: ProxyAddress, count: int) -> list[socket.socket]:
    return [socket.create_connection(address, 10) for _ in range(count)]


async def test_page_in_browser_is_refused() -> None:
    async with proxy_running() as (proxy, dialer):
        answer = await say(proxy.address, b"GET /secrets HTTP/1.1\r\nHost: rebound.example\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert dialer.dialed == []


async def test_endless_head_is_refused() -> None:
    async with proxy_running() as (proxy, _):
        answer = await say(proxy.address, b"GET http://orders/ HTTP/1.1\r\n" + b"X: y\r\n" * 20_000)
    assert answer.startswith(b"HTTP/1.1 431 ")


async def test_early_bytes_arrive() -> None:
    await send_early()


def test_uvloop_serves_too() -> None:
    uvloop = pytest.importorskip("uvloop")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(send_early())


async def send_early() -> None:
    async with http_server() as port, proxy_running() as (proxy, _):
        socks = b"\x05\x01\x00" + b"\x05\x01\x00\x03\x06orders" + port.to_bytes(2, "big")
        answer = await say(proxy.address, socks + b"GET /early HTTP/1.1\r\n\r\n")
    assert answer.endswith(b"GET /early HTTP/1.1\r\n\r\n")


async def test_handshake_may_come_bytewise() -> None:
    async with http_server() as port, proxy_running() as (proxy, _):
        with socket.create_connection(proxy.address) as client:
            client.setblocking(False)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            reader, writer = await asyncio.open_connection(sock=client)
            for byte in b"\x05\x01\x00" + b"\x05\x01\x00\x01\x7f\x00\x00\x01" + port.to_bytes(2, "big"):
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0)
            assert await reader.readexactly(12) == b"\x05\x00" + b"\x05\x00\x00\x01" + bytes(6)
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            assert (await reader.read()).startswith(b"HTTP/1.1 200 OK")
            writer.close()
            await writer.wait_closed()


async def test_many_at_once() -> None:
    async with http_server() as port, proxy_running() as (proxy, _):
        request = f"GET http://orders:{port}/ HTTP/1.1\r\n\r\n".encode()
        async with asyncio.TaskGroup() as group:
            answers = [group.create_task(say(proxy.address, request)) for _ in range(200)]
    assert all(answer.result().startswith(b"HTTP/1.1 200 OK") for answer in answers)


async def test_stopping_closes_handshakes() -> None:
    async with proxy_running() as (proxy, _):
        reader, writer = await asyncio.open_connection(*proxy.address)
        writer.write(b"\x05\x01\x00")
        assert await reader.readexactly(2) == b"\x05\x00"
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(*proxy.address)


async def test_reset_client_is_survived() -> None:
    async with http_server() as port, proxy_running() as (proxy, _):
        client = socket.create_connection(proxy.address)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        client.send(b"\x05\x01")
        client.close()
        answer = await say(proxy.address, f"GET http://orders:{port}/ HTTP/1.1\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 200 OK")
