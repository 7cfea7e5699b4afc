"""A client without the right to create Roles dies: the agent becomes the app again, in the same process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.in_place import expand
from interceptor.wire.reasons import Reason
from tests.agent.api_server import ApiServer, serving_api
from tests.agent.running import APP, HEALTH, Agent, local_side, running_agent, tunnel_to
from tests.agent.test_guard import lose_client, until
from tests.agent.test_serving import call, free_port, serving
from tests.agent.test_status import page

# Answers with what it was given: argument, variable, directory, limit, and whether ignored signals were reset.
SERVER = f"""
import os, resource, signal, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        reset = signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL
        body = " ".join(map(str, (sys.argv[1], os.environ["GREETING"], os.getcwd(), soft, reset))).encode()
        self.send_response(200 if self.path != "/broken" else 500)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
HTTPServer((os.environ["INTERCEPTOR_BIND"], {APP}), Handler).serve_forever()
"""


@asynccontextmanager
async def alone(
    folder: Path, api: ApiServer, *, lost_after: float = 0.5, silent_after: float = 1.5, **app: Any
) -> AsyncIterator[Agent]:
    """An agent without a guard that knows the app's command; its child ends with it."""
    command = {"argv": [sys.executable, "-c", SERVER, "$(GREETING)!"], "expand": True, "environ": {}, **app}
    async with serving_api(folder, api) as environ:
        (folder / "token").write_text("")  # nobody to the API server
        variables = {**os.environ, **environ, "GREETING": "hello"}
        times = {"hold": 20.0, "lost_after": lost_after, "silent_after": silent_after}
        settings: dict[str, Any] = {"app": command, **times}
        with running_agent(folder, environ=variables, **settings) as agent:
            yield agent


async def lose_client_beside_a_caller(agent: Agent) -> bytes:
    """Its answer. It is there before the loss: one that comes between the agent and the app may find nobody."""
    async with asyncio.TaskGroup() as group:  # noqa: SIM117  the tunnel is lost first
        async with tunnel_to(agent, local_side({APP: free_port()}, hold=60.0)) as tunnel:
            answer = group.create_task(call(agent.bind, APP), name="call")
            await until(lambda: tunnel.streams)
            tunnel.close(Reason.BROKEN)
    return answer.result()


async def test_lost_client_gives_way_to_the_app(tmp_path: Path) -> None:
    """Same process, own environment and limits; a caller who waits is handed on, the kubelet hears when it is ready."""
    async with alone(tmp_path, ApiServer(), ready={"path": "/", "port": APP}, cwd="/") as agent:
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        answer = await lose_client_beside_a_caller(agent)
        assert answer.endswith(f"hello! hello / {soft} True".encode()), answer
        await agent.says("the app is ready")
        assert b"200 OK" in await call(agent.bind, HEALTH, b"GET /ready HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await page(agent, "/status"))["guard"] == "the app runs in place"
        agent.process.send_signal(signal.SIGTERM)
        await until(lambda: agent.process.poll() is not None)
        await until(lambda: not answers(agent))


def answers(agent: Agent) -> bool:
    """Whether the child still serves the health port."""
    with contextlib.suppress(OSError), socket.create_connection((agent.bind, HEALTH), 1):
        return True
    return False


async def test_app_that_fails_its_probe_is_not_ready(tmp_path: Path) -> None:
    async with alone(tmp_path, ApiServer(), ready={"path": "/broken", "port": APP}) as agent:
        assert (await lose_client_beside_a_caller(agent)).startswith(b"HTTP/1.0 200")
        await asyncio.sleep(1.0)  # several probes
        assert "the app is ready" not in agent.words


async def test_client_that_comes_back_keeps_the_pod(tmp_path: Path) -> None:
    api, command = ApiServer(), [sys.executable, "-c", SERVER, "x"]
    async with alone(tmp_path, api, lost_after=20.0, silent_after=60.0, argv=command) as agent, serving() as port:
        await lose_client(agent)
        await until(lambda: api.asked > 1)
        async with tunnel_to(agent, local_side({APP: port})):
            asked = api.asked
            await asyncio.sleep(1.5)
            assert api.asked <= asked + 1  # nobody counts any more; one look may have been under way
            assert (await call(agent.bind, APP)).endswith(b"hello")
            assert "in place" not in agent.words


async def test_outage_of_the_api_server_counts_for_nothing(tmp_path: Path) -> None:
    api = ApiServer()
    async with alone(tmp_path, api, silent_after=60.0) as agent:
        await until(lambda: api.asked)
        async with tunnel_to(agent, local_side({})) as tunnel:
            api.broken = "html"  # no HTTP of an API server's
            tunnel.close(Reason.BROKEN)
        await asyncio.sleep(1.0)
        assert "in place" not in agent.words
        api.broken = ""
        await agent.says("in place")


async def test_missing_command_changes_nothing(tmp_path: Path) -> None:
    async with alone(tmp_path, ApiServer(), argv=["/no/such/app"]) as agent:
        await lose_client(agent)
        await agent.says("is not there: nothing is started")
        assert agent.process.poll() is None


@pytest.mark.parametrize(
    ("word", "becomes"),
    [("$(A)", "1"), ("x$(A)y$(A)", "x1y1"), ("$$(A)", "$(A)"), ("$(B)", "$(B)"), ("$A", "$A"), ("100$", "100$")],
)
def test_references_are_the_kubelets(word: str, becomes: str) -> None:
    assert expand(word, {"A": "1"}) == becomes
