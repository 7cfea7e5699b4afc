"""The page at a thousand requests a second: what it is told, what it draws, what is kept."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from interceptor.dash import kept
from interceptor.dash.flow import MOST_ROWS
from interceptor.mesh.traffic.hub import Hub
from interceptor.session.options import Access
from tests.dash.chromium import Browser
from tests.dash.serving import Served, serving
from tests.dash.test_app import BEARER, tapped
from tests.session.flood import flood, session, write_kubeconfig

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

COUNT = 3000
ON_PAGE = 200
ROWS = "document.querySelectorAll('#rows tr').length"
COUNT_SEEN = "window.total = 0; const told = showRequests; showRequests = (one) => { total += one.seen; told(one) }; 1"


@asynccontextmanager
async def staged(folder: Path, hub: Hub) -> AsyncIterator[Served]:
    name = f"orders-{folder.name[-12:]}"
    access = Access(kubeconfig=str(write_kubeconfig(folder)))
    async with session(hub, name), serving(access, f"deploy/{name}") as served:
        yield served


async def test_all_are_accounted_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept.Kept.__init__, "__defaults__", (50, 1_000_000))
    hub, told = Hub(), list[dict[str, object]]()
    async with staged(tmp_path, hub) as served, aiohttp.ClientSession() as client:
        async with client.get(f"{served.origin}/api/news", headers=BEARER) as answer, asyncio.TaskGroup() as group:
            await tapped(hub)
            group.create_task(flood(hub, COUNT), name="flood")
            seen = 0
            async for line in answer.content:
                if (one := json.loads(line).get("requests")) is not None:
                    told.append(one)
                    seen += one["seen"]
                    assert len(one["rows"]) <= MOST_ROWS
                    assert len(one["rows"]) + sum(one["left_out"].values()) == one["seen"]
                if seen + hub.taps[0].dropped == COUNT:
                    break
        assert sum(one["dropped"] for one in told) == hub.taps[0].dropped  # type: ignore[misc]
        floods = [one for one in told if one["left_out"]]
        assert floods
        for one in floods:  # failures first
            assert "5xx" not in one["left_out"] or all(row["failed"] for row in one["rows"])  # type: ignore[operator, attr-defined]
        (last,) = told[-1]["rows"][-1:]  # type: ignore[index]
        async with client.get(f"{served.origin}/api/requests/{last['n']}", headers=BEARER) as answer:
            assert answer.status == 200
        async with client.get(f"{served.origin}/api/requests/1", headers=BEARER) as answer:
            assert answer.status == 404  # 50 are kept


async def test_page_has_time_left(tmp_path: Path, browser: Browser) -> None:
    hub = Hub()
    async with staged(tmp_path, hub) as served:
        page = await browser.page()
        await page.open(served.address)
        await page.until("document.getElementById('state')?.textContent === 'live'")
        await tapped(hub)
        await page.run(COUNT_SEEN)
        await flood(hub, COUNT)
        text = await page.until(  # at once: it speaks of the last five seconds
            f"total + {hub.taps[0].dropped} === {COUNT} && document.getElementById('flood').textContent"
        )
        assert "are counted but not listed" in text
        assert 40 <= await page.run(ROWS) <= ON_PAGE
        # What fades in is drawn anew all the time: only those may that came alone, before, after or between stalls.
        assert await page.run("document.querySelectorAll('#rows tr.new').length") <= 20
        assert page.complaints == []
