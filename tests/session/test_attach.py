"""What a container beside the app reads."""

from __future__ import annotations

from typing import cast

import pytest

from interceptor.errors import InterceptorError
from interceptor.kube import Cluster
from interceptor.session import attach
from interceptor.session.attach import ports_to_read
from interceptor.session.debug.place import Place
from interceptor.session.reading import Reading
from interceptor.workload.ports import PortMap

DNS = PortMap(53, 53, "dns", "UDP")


def test_tcp_is_read() -> None:
    assert ports_to_read((PortMap(8080, 8080, "http"), DNS), "app") == (8080,)


def test_only_udp_is_refused() -> None:
    with pytest.raises(InterceptorError, match="app has only UDP ports"):
        ports_to_read((DNS,), "app")


def reading(pod: str) -> Reading:
    return Reading(Place(cast(Cluster, None), "shop", pod, "c", "image"), False, (), "python3")


async def test_program_that_does_not_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attach, "READY_WITHIN", 0.05)
    one, other = reading("orders-0"), reading("orders-1")
    one.ready.set()
    with pytest.raises(InterceptorError, match="in pod orders-1: its program did not begin"):
        await attach._until_ready([one, other])
