"""Who is answered on loopback, and who is not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from interceptor.errors import InterceptorError
from interceptor.web.loopback import origin_of, reserve, serve_text


@asynccontextmanager
async def served() -> AsyncIterator[str]:
    with reserve(0, "--port") as sock:
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(serve_text(sock, "/x", lambda accept: ("text/plain", accept.encode())))
            yield origin_of(sock)
            serving.cancel()


async def status(address: str, headers: dict[str, str]) -> int:
    async with aiohttp.ClientSession() as client, client.get(f"{address}/x", headers=headers) as answer:
        return answer.status


async def test_answers_what_is_accepted() -> None:
    async with served() as address, aiohttp.ClientSession() as client:
        async with client.get(f"{address}/x", headers={"Accept": "a/b"}) as answer:
            assert (answer.status, await answer.text()) == (200, "a/b")
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Cache-Control"] == "no-store"
            assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        async with client.get(f"{address}/other") as answer:
            assert answer.status == 404


async def test_other_hosts_are_refused() -> None:
    async with served() as address:
        port = address.rpartition(":")[2]
        assert await status(address, {"Host": f"localhost:{port}"}) == 200
        for host in ("evil.example", f"evil.example:{port}", "127.0.0.1", "127.0.0.1:1", f"127.0.0.1.evil:{port}", ""):
            assert await status(address, {"Host": host}) in (400, 403), host


async def test_other_origins_are_refused() -> None:
    async with served() as address:
        assert await status(address, {"Origin": address}) == 200
        for origin in ("http://evil.example", "null", "http://127.0.0.1:1", address.replace("http", "https")):
            assert await status(address, {"Origin": origin}) == 403, origin
        for site in ("cross-site", "same-site"):
            assert await status(address, {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "no-cors"}) == 403
        followed = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
        assert await status(address, followed) == 200
        assert await status(address, {**followed, "Sec-Fetch-Dest": "iframe"}) == 403


async def test_two_hosts_are_refused() -> None:
    async with served() as address:
        port = int(address.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET /x HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nHost: evil.example\r\n\r\n".encode())
        assert (await reader.readline()).split()[1] in (b"400", b"403")
        writer.close()
        await writer.wait_closed()


def test_taken_port_is_said() -> None:
    with reserve(0, "--metrics") as sock:
        port = sock.getsockname()[1]
        with pytest.raises(InterceptorError, match="in use") as caught:
            reserve(port, "--metrics")
    assert "--metrics" in (caught.value.hint or "")
