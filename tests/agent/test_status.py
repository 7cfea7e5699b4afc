"""A real agent's own view, asked from inside its pod."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from pathlib import Path
from typing import Any

from tests.agent.running import APP, HEALTH, SESSION, Agent, local_side, running_agent, tunnel_to
from tests.agent.test_serving import serving


async def page(agent: Agent, path: str) -> Any:
    def get() -> Any:
        with urllib.request.urlopen(f"http://{agent.bind}:{HEALTH}{path}", timeout=30) as answer:
            return json.load(answer)

    return await asyncio.to_thread(get)


async def test_view_follows_the_tunnel(tmp_path: Path) -> None:
    with running_agent(tmp_path) as agent:
        before = await page(agent, "/status")
        assert (before["session"], before["ports"], before["guard"]) == (SESSION, [APP], "off")
        assert before["tunnel"]["reason"] == "never"
        async with tunnel_to(agent, local_side({})):
            during = await page(agent, "/status")
            assert during["tunnel"]["up"]
            assert during["armed"]
        await agent.says("the developer's machine is gone")
        after = await page(agent, "/status")
        assert after["tunnel"]["reason"] == "cancelled"
        assert len(json.dumps(after)) < 1024


async def test_probe_goes_to_the_local_process(tmp_path: Path) -> None:
    """Several who ask at once share one probe."""
    with running_agent(tmp_path) as agent:
        async with serving() as port, tunnel_to(agent, local_side({APP: port})):
            both = await asyncio.gather(page(agent, "/probe"), page(agent, "/probe"))
            assert all(found["ok"] for found in both), both
        async with tunnel_to(agent, local_side({APP: 1})):
            found = await page(agent, "/probe")
            assert not found["ok"]
            assert "127.0.0.1:1" in found["error"]
