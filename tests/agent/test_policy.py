"""The pod that guards a changed route: a real agent takes the change back through a real API when the client is gone."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from interceptor.swap.policy import PolicyRecord, digest, edited, policy_record_of, with_policy_record
from tests.agent.api_server import DEPLOYMENT, ApiServer, serving_api
from tests.agent.running import SESSION, Agent, running_agent
from tests.agent.test_guard import until

pytestmark = pytest.mark.slow  # an agent starts, and a client has to be silent for a while

MANAGERS = ({"manager": "kubectl", "operation": "Update", "time": "2026-11-23T05:00:00Z"},)


def serving_a_profile(session: str = SESSION) -> ApiServer:
    """The API server's one object is a ServiceProfile that somebody changed."""
    api = ApiServer()
    before: dict[str, Any] = {
        "metadata": {"name": "web.shop.svc.cluster.local", "uid": "u", "resourceVersion": "7"},
        "spec": {"routes": [{"name": "GET /slow"}]},
    }
    api.original = {**before, "metadata": {**before["metadata"], "managedFields": list(MANAGERS)}}
    after, changes = edited(api.original, [(("spec", "routes", {"name": "GET /slow"}, "timeout"), "300ms")])
    after["metadata"]["managedFields"] = [{"manager": "interceptor", "operation": "Apply"}]
    record = PolicyRecord(session, "ana@laptop", "then", "", False, changes, digest(before), MANAGERS)
    api.deployment = with_policy_record(after, record)
    return api


@asynccontextmanager
async def guarding(folder: Path, api: ApiServer) -> AsyncIterator[Agent]:
    async with serving_api(folder, api) as environ:
        with ExitStack() as stack:
            # It listens once the API server, which is on our loop, has answered it: waited for beside the loop.
            starting = running_agent(folder, environ={**os.environ, **environ}, policy=True, workload=DEPLOYMENT)
            yield await asyncio.to_thread(stack.enter_context, starting)


async def test_silent_client_is_undone(tmp_path: Path) -> None:
    """The content first, then who owned it; then the session object, which takes this pod along."""
    api = serving_a_profile()
    async with guarding(tmp_path, api) as agent:
        await asyncio.wait_for(api.deleted.wait(), 30)
        assert api.restored
        assert await agent.exit_code() == 0
        assert "ana@laptop" in agent.words


async def test_living_client_keeps_the_change(tmp_path: Path) -> None:
    api = serving_a_profile()
    api.renewing = True
    async with guarding(tmp_path, api) as agent:
        reads = api.reads
        await until(lambda: api.reads > reads + 12)
        assert policy_record_of(api.deployment) is not None
        agent.terminate()
        assert await agent.exit_code() == 0
    assert policy_record_of(api.deployment) is not None


async def test_removed_lease_is_the_end(tmp_path: Path) -> None:
    api = serving_a_profile()
    api.renewing = True
    async with guarding(tmp_path, api) as agent:
        api.renewing, api.lease = False, None
        await asyncio.wait_for(api.deleted.wait(), 30)
        assert api.restored
        assert await agent.exit_code() == 0


async def test_others_write_is_met(tmp_path: Path) -> None:
    """A conflict is repeated on fresh state, and what the other wrote stays."""
    api = serving_a_profile()
    api.conflicts = 1
    async with guarding(tmp_path, api):
        await asyncio.wait_for(api.deleted.wait(), 30)
    assert "timeout" not in api.deployment["spec"]["routes"][0]
    assert api.deployment["metadata"]["labels"] == {"touched": "by another"}


async def test_another_sessions_change_stays(tmp_path: Path) -> None:
    api = serving_a_profile("web-other")
    async with guarding(tmp_path, api):
        await asyncio.wait_for(api.deleted.wait(), 30)
    assert policy_record_of(api.deployment) is not None
