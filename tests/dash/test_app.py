"""Who gets anything from the page's server, and what: without a browser, over a session's own control socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from interceptor.dash import app as app_module
from interceptor.mesh.sources.model import Route, Table
from interceptor.mesh.sources.saved import table_to_json
from interceptor.mesh.traffic.hub import Hub
from interceptor.session.control import Control
from interceptor.session.options import Access
from tests.dash.serving import TOKEN, Served, serving
from tests.session.flood import SERVER, write_kubeconfig
from tests.session.http import http_process
from tests.session.scene import Recorder
from tests.session.test_control import open_one, pass_by

ASK = (
    b"POST /books/7?token=s3cret HTTP/1.1\r\nHost: shop\r\nAuthorization: Bearer s3cret\r\nContent-Length: 2\r\n\r\nhi"
)
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@asynccontextmanager
async def staged(
    tmp_path: Path, hub: Hub, state: dict[str, Any] | None = None, before: Mapping[str, object] | None = None
) -> AsyncIterator[Served]:
    kubeconfig = write_kubeconfig(tmp_path)
    name = f"orders-{tmp_path.name[-12:]}"
    about = {"session": name, "server": SERVER, "namespace": "shop", "kind": "Deployment", "name": name}
    async with asyncio.TaskGroup() as group:
        control = Control(hub, about, Recorder(), before, lambda: state or {})
        task = group.create_task(control.serve(), name="control")
        await control.listening.wait()
        async with serving(Access(kubeconfig=str(kubeconfig)), f"deploy/{name}") as served:
            yield served
        task.cancel()


async def news(client: aiohttp.ClientSession, served: Served, query: str = "") -> AsyncIterator[dict[str, Any]]:
    async with client.get(f"{served.origin}/api/news?{query}", headers=BEARER) as answer:
        assert answer.status == 200, await answer.text()
        async for line in answer.content:
            yield json.loads(line)


async def until(lines: AsyncIterator[dict[str, Any]], kind: str, enough: Callable[[Any], object] = bool) -> Any:
    """News of a kind that say enough: what was found out before something passed may be told after it."""
    async with asyncio.timeout(30):
        async for line in lines:
            if kind in line and enough(line[kind]):
                return line[kind]
    raise AssertionError(f"no {kind}")


async def until_rows(lines: AsyncIterator[dict[str, Any]], count: int) -> list[dict[str, Any]]:
    """So many requests, the oldest first, whether they are told at once or not."""
    rows: list[dict[str, Any]] = []
    while len(rows) < count:
        rows += (await until(lines, "requests"))["rows"]
    return rows


async def tapped(hub: Hub, count: int = 1) -> None:
    async with asyncio.timeout(30):
        while len(hub.taps) < count:  # noqa: ASYNC110  a page's tap begins when it begins
            await asyncio.sleep(0.01)


async def test_token_or_nothing(tmp_path: Path) -> None:
    async with staged(tmp_path, Hub()) as served, aiohttp.ClientSession() as client:
        wrong = ("", "?token=", "?token=wrong", f"?token={TOKEN[:-1]}", f"?token={TOKEN}x", "?token=%ff")
        for place in ("/", "/dash.js", "/dash.css", "/icon.svg"):
            for query in wrong:
                async with client.get(f"{served.origin}{place}{query}") as answer:
                    assert (answer.status, TOKEN in await answer.text()) == (403, False), (place, query)
            async with client.get(f"{served.origin}{place}?token={TOKEN}") as answer:
                assert answer.status == 200
        for place in ("/api/news", "/api/requests/1"):
            for headers in ({}, {"Authorization": "Bearer x"}, {"Authorization": TOKEN}, {"Cookie": f"token={TOKEN}"}):
                async with client.get(f"{served.origin}{place}?token={TOKEN}", headers=headers) as answer:
                    assert answer.status == 403, (place, headers)
        async with client.post(f"{served.origin}/api/requests/1/replay?token={TOKEN}") as answer:
            assert answer.status == 403
        async with client.post(f"{served.origin}/api/requests/1/replay", headers=BEARER) as answer:
            assert answer.status == 404


async def test_strangers_are_refused(tmp_path: Path) -> None:
    async with staged(tmp_path, Hub()) as served, aiohttp.ClientSession() as client:
        for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
            for place in (f"/?token={TOKEN}", "/api/news"):
                async with client.get(f"{served.origin}{place}", headers={**BEARER, **headers}) as answer:
                    assert answer.status == 403, (place, headers)
        async with client.options(f"{served.origin}/api/news", headers={"Origin": "http://evil.example"}) as answer:
            assert "Access-Control-Allow-Origin" not in answer.headers


async def test_page_is_strict(tmp_path: Path) -> None:
    async with staged(tmp_path, Hub()) as served, aiohttp.ClientSession() as client:
        async with client.get(served.address) as answer:
            text, policy = await answer.text(), answer.headers["Content-Security-Policy"]
            assert answer.headers["Referrer-Policy"] == "no-referrer"
            assert answer.headers["Cache-Control"] == "no-store"
            assert answer.headers["X-Frame-Options"] == "DENY"
            assert "Set-Cookie" not in answer.headers
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "require-trusted-types-for 'script'" in policy
        assert "://" not in text.replace("http://www.w3.org", "")
        assert "<script>" not in text
        assert "style=" not in text
        assert " on" not in [word[:3] for word in text.split("<")]


async def test_requests_come_and_are_kept(tmp_path: Path) -> None:
    hub = Hub()
    async with staged(tmp_path, hub) as served, aiohttp.ClientSession() as client:
        lines = news(client, served)
        assert (await until(lines, "session"))["running"]
        await tapped(hub)
        pass_by(open_one(hub, "orders-1", {"peer": "10.0.0.7:1234", "port": 8080}), ask=ASK)
        (row,) = await until_rows(lines, 1)
        assert (row["method"], row["path"], row["outcome"], row["who"]) == (
            *("POST", "/books/7?token=***", "200", "10.0.0.7:1234"),
        )
        async with client.get(f"{served.origin}/api/requests/{row['n']}", headers=BEARER) as answer:
            record = await answer.json()
        assert (record["request_body"], "s3cret" in json.dumps(record)) == ("aGk=", False)
        routes = await until(lines, "routes", lambda told: told["rows"])
        assert [one["route"] for one in routes["rows"]] == ["POST /books/{id}"]
        await lines.aclose()  # type: ignore[attr-defined]
        async with asyncio.timeout(30):
            while hub.taps:  # noqa: ASYNC110  the page has left
                await asyncio.sleep(0.01)


async def test_filters_are_the_taps(tmp_path: Path) -> None:
    hub = Hub()
    async with staged(tmp_path, hub) as served, aiohttp.ClientSession() as client:
        lines = news(client, served, "status=5xx&method=post,get&path=/books&min_ms=0")
        await until(lines, "session")
        await tapped(hub)
        connection = open_one(hub, "p", {"peer": "10.0.0.7:1", "port": 80})
        pass_by(connection)
        pass_by(connection, b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")
        assert [row["status"] for row in await until_rows(lines, 1)] == [503]
        await lines.aclose()  # type: ignore[attr-defined]
        for query in ("status=9xx", "min_ms=soon"):
            async with client.get(f"{served.origin}/api/news?{query}", headers=BEARER) as answer:
                assert (answer.status, "is not a" in (await answer.json())["refused"]) == (400, True)


async def test_pages_are_few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_module, "MOST_PAGES", 1)
    async with staged(tmp_path, Hub()) as served, aiohttp.ClientSession() as client:
        lines = news(client, served)
        await until(lines, "session")
        async with client.get(f"{served.origin}/api/news", headers=BEARER) as answer:
            assert answer.status == 503
        await lines.aclose()  # type: ignore[attr-defined]


async def test_replay(tmp_path: Path) -> None:
    hub, seen = Hub(), list[Any]()
    async with http_process(seen) as port:
        state = {"to": "127.0.0.1", "ports": {"8080": port}}
        async with staged(tmp_path, hub, state) as served, aiohttp.ClientSession() as client:
            lines = news(client, served)
            assert (await until(lines, "session"))["to"] == "127.0.0.1"
            await tapped(hub)
            pass_by(open_one(hub, "orders-1", {"peer": "10.0.0.7:1", "port": 8080}), ask=ASK)
            pass_by(open_one(hub, "orders-1", {"peer": "10.0.0.7:1", "port": 9999}), ask=ASK)
            rows = await until_rows(lines, 2)
            async with client.post(f"{served.origin}/api/requests/{rows[0]['n']}/replay", headers=BEARER) as answer:
                told = await answer.json()
            assert (answer.status, told["answer"]["status"], told["without"]) == (
                200,
                200,
                ["authorization", "credentials in its query"],
            )
            assert [(one.method, one.path) for one in seen] == [("POST", "/books/7")]
            assert any("body" in one for one in told["differences"])
            async with client.post(f"{served.origin}/api/requests/{rows[1]['n']}/replay", headers=BEARER) as answer:
                assert (answer.status, "no session" in (await answer.json())["refused"]) == (409, True)
            await lines.aclose()  # type: ignore[attr-defined]


async def test_cluster_stands_beside_local(tmp_path: Path) -> None:
    bounds = {8.0: 0.0, 10.0: 900.0, 12.0: 100.0}
    was = Route("GET /books/{id}", "shop", success=700, failure=300, p50=9.0, p95=11.0, p99=12.0, latencies=bounds)
    before = {"inbound": table_to_json(Table("deploy/orders", "the proxies of its pods", 100.0, [was]))}
    hub = Hub()
    connection = open_one(hub, "orders-1", {"peer": "10.0.0.7:1", "port": 8080})
    for _ in range(400):
        pass_by(connection, ask=b"GET /books/7 HTTP/1.1\r\nHost: shop\r\n\r\n")
    async with staged(tmp_path, hub, before=before) as served, aiohttp.ClientSession() as client:
        lines = news(client, served)
        routes = await until(lines, "routes", lambda told: told["rows"])
        await lines.aclose()  # type: ignore[attr-defined]
    (row,) = routes["rows"]
    assert routes["baseline"]["inbound"] == "the proxies of its pods"
    assert (row["now"]["total"], row["now"]["success"]) == (400, 1.0)
    assert (row["before"]["success"], row["before"]["rps"]) == (0.7, 10.0)
    assert row["differs"]["success"] == "better"


async def test_cluster_that_is_away(tmp_path: Path) -> None:
    async with staged(tmp_path, Hub()) as served, aiohttp.ClientSession() as client:
        lines = news(client, served)
        path = await until(lines, "path")
        await lines.aclose()  # type: ignore[attr-defined]
    assert path["hops"] == []
    assert "127.0.0.1:1" in path["error"]


async def test_session_that_ends(tmp_path: Path) -> None:
    async with staged(tmp_path, Hub()) as served:
        watching = served.watching
        told: dict[str, int] = {}
        async with asyncio.timeout(30):
            while not watching.news(told).get("session", {}).get("running"):  # noqa: ASYNC110  pages poll it too
                await asyncio.sleep(0.01)
    assert (watching.session, watching.state) == (None, {})
