"""The page in a real browser, of a real intercept on the embedded cluster."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from interceptor.session.options import Access
from tests.dash.chromium import Browser, Page
from tests.dash.serving import Served, serving
from tests.session.http import Ask, caller, http_process
from tests.session.scene import Running, Scene

pytestmark = [pytest.mark.slow, pytest.mark.timeout(150)]

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
ROWS = "[...document.querySelectorAll('#rows tr')].map((row) => row.innerText)"
SHORT = "/<img src=x onerror=owned=4>"  # the other is an identifier, for all its length
REFUSED = "(() => { try { document.body.innerHTML = '<b>x</b>' } catch (error) { return error.name } })()"
EVIL = "/<img src=x onerror=window.owned=1><script>window.owned=2</script>"


@asynccontextmanager
async def staged(
    scene: Scene, browser: Browser, seen: list[web.Request] | None = None
) -> AsyncIterator[tuple[Page, Ask, Served, Running]]:
    """An intercept, a page open beside it, and somebody who asks the workload."""
    access = Access(kubeconfig=scene.api.kubeconfig, namespace=scene.api.namespace)
    async with http_process(seen) as port, scene.intercepting(ports=(f"{port}:8080",)) as running:
        await running.until("ready")
        async with serving(access, "deploy/orders") as served, caller(scene) as ask:
            page = await browser.page()
            await page.open(served.address)
            await page.until("document.getElementById('state')?.textContent === 'live'")
            await page.until("document.getElementById('flood').textContent.length > 0")
            await until_tapped(scene, served)
            yield page, ask, served, running


async def until_tapped(scene: Scene, served: Served) -> None:
    async def taps() -> int:
        return int(served.watching.state.get("taps", 0))

    await scene.api.eventually(taps, lambda count: count > 0)


async def test_live_page(orders: Scene, browser: Browser) -> None:
    seen: list[web.Request] = []
    async with staged(orders, browser, seen) as (page, ask, served, running):
        for number in range(5):
            await ask("GET", f"/books/{number}", {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"})
        await ask("POST", "/fail/now", {"Authorization": "Bearer s3cret"}, b'{"a": 1}')
        assert seen[0].headers["traceparent"] == f"00-{TRACE}-00f067aa0ba902b7-01"

        # Requests, their trace and what failed.
        await page.until("document.querySelectorAll('#rows tr').length === 6")
        rows = await page.run(ROWS)
        assert "POST" in rows[0]
        assert "✗ 500" in rows[0]
        assert TRACE[:8] in rows[5]

        # Routes with a chart, the figures, the path with its round trips.
        await page.until("document.getElementById('routes-rows').innerText.includes('GET /books/{id}')")
        await page.until("document.querySelectorAll('#routes-rows polyline').length > 0")
        assert "none" not in await page.run("document.getElementById('workload').textContent")
        hops = await page.until(
            "document.querySelectorAll('#hops li.ok').length > 4 && document.getElementById('hops').innerText"
        )
        for name in ("API server", "pod", "agent", "tunnel", "local process"):
            assert name in hops
        assert " ms" in hops
        await page.until("document.getElementById('figures').innerText.includes('1 of 1')")

        # One request in detail: the secret is hidden, and replay says that it went without.
        await page.click("#rows tr.failed button")
        await page.until("!document.getElementById('detail').hidden && document.getElementById('detail').innerText")
        detail = await page.until("document.getElementById('detail-body').innerText")
        assert "Bearer ***" in detail
        assert "s3cret" not in await page.run("document.documentElement.outerHTML")
        await page.click("#replay")
        told = await page.until(
            "document.querySelector('#replayed h3') && document.getElementById('replayed').innerText"
        )
        assert "500 in" in told
        assert "the same answer" in told
        assert "without authorization" in told
        assert [(one.method, one.path) for one in seen][-2:] == [("POST", "/fail/now")] * 2

        # A filter is asked of the session.
        await page.run("document.dispatchEvent(new KeyboardEvent('keydown', {key: 'Escape'}))")
        await page.type("trace", TRACE[:6])
        await page.until("document.querySelectorAll('#rows tr').length === 0")
        await until_filtered(page, ask)
        assert all("/seen" in row for row in await page.run(ROWS))
        await page.type("status", "9xx")
        await page.until("document.getElementById('filter-error').innerText.includes('is not a status')")
        await page.type("status", "")

        # It says so when the intercept ends; nothing was fetched from elsewhere, nothing was refused.
        await running.stop()
        await page.until("document.getElementById('state').textContent.includes('has ended')")
        complaints = [text for text in page.complaints if "400" not in text]
        assert complaints == []
        assert {url.split("/")[2] for url in page.requested if "://" in url} == {served.origin.split("/")[2]}


async def until_filtered(page: Page, ask: Ask) -> None:
    """Ask until the new filter's tap has begun."""
    async with asyncio.timeout(40):
        while not await page.run("document.querySelectorAll('#rows tr').length"):
            await ask("GET", "/unseen")
            await ask("GET", "/seen", {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"})
            await asyncio.sleep(0.2)


async def test_markup_stays_text(orders: Scene, browser: Browser) -> None:
    async with staged(orders, browser) as (page, ask, _, _):
        await ask_raw(orders, SHORT)
        await page.until("document.querySelectorAll('#rows tr').length === 1")
        await ask_raw(orders, EVIL)
        await page.until("document.querySelectorAll('#rows tr').length === 2")
        assert EVIL.replace(" ", "%20") in await page.run("document.querySelector('#rows button').textContent")
        await page.until("document.getElementById('routes-rows').innerText.includes('<img')")
        await page.click("#rows button")
        detail = await page.until("document.getElementById('detail-body').innerText")
        assert "<script>window.owned=3</script>" in detail
        await page.click("#replay")
        await page.until("document.querySelector('#replayed h3, #replayed .notice') !== null")
        assert await page.run("document.querySelectorAll('img, main script, aside script').length") == 0
        assert await page.run("window.owned === undefined")
        # The policy stands behind that: markup does not get in by another way either.
        assert await page.run(REFUSED) == "TypeError"
        await ask("GET", "/still-alive")
        await page.until("document.getElementById('rows').innerText.includes('/still-alive')")


async def ask_raw(scene: Scene, path: str) -> None:
    """Ask with bytes that a client library would escape."""
    spec = (await scene.api.get(scene.api.path("services", scene.name)))["spec"]
    reader, writer = await asyncio.open_connection(spec["clusterIP"], 8080)
    fields = "Host: <b>shop</b>\r\nX-Evil: <script>window.owned=3</script>\r\nConnection: close"
    head = f"GET {path.replace(' ', '%20')} HTTP/1.1\r\n{fields}\r\n\r\n"
    writer.write(head.encode())
    assert await reader.read()
    writer.close()
    await writer.wait_closed()


async def test_flood_stays_readable(orders: Scene, browser: Browser) -> None:
    async with staged(orders, browser) as (page, ask, _, _):
        async with asyncio.TaskGroup() as group:
            for number in range(8):
                group.create_task(many(ask, number), name="ask")
            # Beside them: it speaks of the last five seconds.
            await page.until("document.getElementById('flood').innerText.includes('are counted but not listed')")
        assert await page.run("document.querySelectorAll('#rows tr').length") <= 200
        await page.until("document.querySelector('#routes-rows').innerText.includes('GET /many')")
        await page.run(
            "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
        )  # it still draws
        assert page.complaints == []


async def many(ask: Ask, number: int) -> None:
    for _ in range(100):
        assert (await ask("GET", f"/many?{number}")).status == 200
