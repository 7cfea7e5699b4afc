"""`routes -w`: one look after the other, and time between them where a source answers at once."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from pathlib import Path

import pytest

from interceptor.mesh.traffic.hub import Hub
from interceptor.session import routes
from interceptor.session.options import Access
from interceptor.session.routes import RoutesOptions, measure
from tests.session.flood import session, write_kubeconfig
from tests.session.test_control import open_one, pass_by


async def test_looks_leave_time_between(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "AGAIN", 0.2)
    hub, name = Hub(), f"orders-{tmp_path.name[-12:]}"
    access = Access(kubeconfig=str(write_kubeconfig(tmp_path)))
    options = RoutesOptions(f"deploy/{name}", window=30.0, watch=True, source="session", access=access)
    loop = asyncio.get_running_loop()
    async with session(hub, name), aclosing(measure(options)) as tables:
        connection = open_one(hub, "orders-1", {"peer": "10.0.0.7:1", "port": 8080})
        began, totals = loop.time(), list[int]()
        for _ in range(3):
            pass_by(connection)
            totals.append(sum(route.total for route in (await anext(tables)).routes))
        assert loop.time() - began >= 0.35
    assert totals == [1, 2, 3]
