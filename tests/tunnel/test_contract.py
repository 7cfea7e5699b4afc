"""One contract on every kind of stream; on a real port-forward: e2e/tunnel."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.agent.running import APP, Agent, local_side, running_agent, tunnel_to
from tests.tunnel.contract import StreamContract, Way
from tests.tunnel.ways import PlainWay, Server, inbound, outbound, there_and_back


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    with running_agent(tmp_path_factory.mktemp("agent")) as agent:
        yield agent


class TestPlainSockets(StreamContract):
    @pytest.fixture
    async def way(self) -> AsyncIterator[Way]:
        server = Server()
        yield PlainWay(server)
        server.close()


class TestInbound(StreamContract):
    @pytest.fixture
    async def way(self, agent: Agent) -> AsyncIterator[Way]:
        async with inbound(agent) as way:
            yield way


class TestOutbound(StreamContract):
    @pytest.fixture
    async def way(self, agent: Agent) -> AsyncIterator[Way]:
        async with outbound(agent) as way:
            yield way


class TestThereAndBack(StreamContract):
    @pytest.fixture
    async def way(self, agent: Agent) -> AsyncIterator[Way]:
        server = Server()
        async with (
            tunnel_to(agent, local_side({APP: server.port})) as tunnel,
            there_and_back(tunnel, server, agent.bind) as way,
        ):
            yield way
        server.close()
