"""What a container beside the app reads."""

from __future__ import annotations

import pytest

from interceptor.errors import InterceptorError
from interceptor.session.attach import ports_to_read
from interceptor.workload.ports import PortMap

DNS = PortMap(53, 53, "dns", "UDP")


def test_tcp_is_read() -> None:
    assert ports_to_read((PortMap(8080, 8080, "http"), DNS), "app") == (8080,)


def test_only_udp_is_refused() -> None:
    with pytest.raises(InterceptorError, match="app has only UDP ports"):
        ports_to_read((DNS,), "app")
