"""The streams' contract through a real port-forward: WebSocket, API server, kubelet, the agent's pod, and back."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from e2e.tunnel.conftest import AgentPod
from tests.agent.running import APP, local_side
from tests.tunnel.contract import StreamContract, Way
from tests.tunnel.ways import Server, there_and_back


class TestPortForward(StreamContract):
    """Out from the pod to the pod's own port and in again: each byte passes the port-forward twice."""

    @pytest.fixture
    async def way(self, agent_pod: AgentPod) -> AsyncIterator[Way]:
        server = Server()
        async with (
            agent_pod.tunnel(local_side({APP: server.port})) as tunnel,
            there_and_back(tunnel, server, "127.0.0.1") as way,
        ):
            await tunnel.ask("arm")
            yield way
        server.close()
