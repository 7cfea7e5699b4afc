"""The client's end of a tunnel to a real agent: questions, dials, and every way to lose it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Iterator

import pytest

from interceptor.tunnel import client as client_module
from interceptor.tunnel.client import Tunnel, TunnelLost
from interceptor.tunnel.errors import StreamRefused
from interceptor.wire.reasons import Reason
from interceptor.wire.tls import TlsLayer
from interceptor.workload.authority import Authority
from tests.agent.running import SESSION, TUNNEL, Agent, link_to, local_side, running_agent, tunnel_to
from tests.tunnel.muxes import tcp_pair
from tests.tunnel.ways import Server


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    with running_agent(tmp_path_factory.mktemp("agent")) as agent:
        yield agent


def client_layer(authority: Authority) -> TlsLayer:
    return TlsLayer(authority.client_context(), server_side=False, server_hostname=SESSION)


async def test_questions_are_answered(agent: Agent) -> None:
    async with tunnel_to(agent, local_side({})) as tunnel:
        answers = await asyncio.gather(*(tunnel.ask("arm") for _ in range(20)))
        assert sorted(answer["reply"] for answer in answers) == list(range(2, 22))
        assert (await tunnel.ask("dance"))["error"] == "this agent can't do 'dance'"


async def test_no_answer_is_a_loss(agent: Agent) -> None:
    async with tunnel_to(agent, local_side({})) as tunnel:
        agent.process.send_signal(signal.SIGSTOP)
        try:
            with pytest.raises(TunnelLost, match=r"the agent did not answer 'arm' in 0.2 s") as raised:
                await tunnel.ask("arm", seconds=0.2)
        finally:
            agent.process.send_signal(signal.SIGCONT)
        assert raised.value.reason is Reason.TIMEOUT


async def test_loss_ends_questions(agent: Agent) -> None:
    async with tunnel_to(agent, local_side({})) as tunnel:
        agent.process.send_signal(signal.SIGSTOP)
        try:
            async with asyncio.TaskGroup() as group:
                asking = group.create_task(outcome(tunnel.ask("arm")), name="ask")
                dialling = group.create_task(outcome(tunnel.dial("127.0.0.1", 1)), name="dial")
                await asyncio.sleep(0)
                tunnel.close(Reason.CANCELLED, "no longer wanted")
        finally:
            agent.process.send_signal(signal.SIGCONT)
        assert isinstance(asking.result(), TunnelLost)
        refused = dialling.result()
        assert isinstance(refused, StreamRefused)
        assert refused.reason is Reason.GONE
        with pytest.raises(TunnelLost, match="no longer wanted"):
            await tunnel.ask("arm")
        with pytest.raises(StreamRefused, match="no longer wanted"):
            await tunnel.dial("127.0.0.1", 1)


async def outcome(what: object) -> Exception | None:
    try:
        await what  # type: ignore[misc]
    except (TunnelLost, StreamRefused) as error:
        return error
    return None


async def test_failed_dials_tell_why(agent: Agent) -> None:
    closed = Server()
    closed.close()
    async with tunnel_to(agent, local_side({})) as tunnel:
        for host, port, reason, text in (
            ("127.0.0.1", closed.port, Reason.REFUSED, "Connection refused"),
            ("nosuch.invalid", 80, Reason.NAME, "nosuch.invalid: "),
            ("b\ud800d", 80, Reason.NAME, "b"),
            ("a" * 300, 80, Reason.NAME, "aaa"),
            ("db", 0, Reason.DENIED, "a target needs host and port"),
        ):
            with pytest.raises(StreamRefused, match=text) as raised:
                await tunnel.dial(host, port)
            assert raised.value.reason is reason
        assert tunnel.streams == 0


async def test_late_dial_is_given_up(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "DIAL_TIME", 0.1)
    server = socket.create_server(("127.0.0.1", 0), backlog=0)
    port = server.getsockname()[1]
    full = [socket.socket() for _ in range(3)]  # its queue is full: it answers nothing
    for sock in full:
        sock.setblocking(False)
        sock.connect_ex(("127.0.0.1", port))
    async with tunnel_to(agent, local_side({})) as tunnel:
        with pytest.raises(StreamRefused, match=r"no answer in 0.1 s"):
            await tunnel.dial("127.0.0.1", port)
        assert tunnel.streams == 0
    for sock in (*full, server):
        sock.close()


async def test_cancelled_dial_leaves_nothing(agent: Agent) -> None:
    server = Server()
    async with tunnel_to(agent, local_side({})) as tunnel:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await tunnel.dial("127.0.0.1", server.port)
        assert tunnel.streams == 0
    server.close()


async def test_abandoned_dial_is_reset(agent: Agent) -> None:
    server = Server()
    async with tunnel_to(agent, local_side({})) as tunnel:
        outgoing = await tunnel.dial("127.0.0.1", server.port)
        far = await server.accept()
        outgoing.abandon()
        outgoing.abandon()
        with pytest.raises(ConnectionResetError):
            await asyncio.get_running_loop().sock_recv(far, 1)
        one, two = tcp_pair()
        outgoing.attach(one)
        with pytest.raises(ConnectionResetError):
            await asyncio.get_running_loop().sock_recv(two, 1)
        for sock in (two, far):
            sock.close()
    server.close()


@pytest.mark.parametrize("theirs", ["certificate", "authority"])
async def test_other_sessions_are_refused(agent: Agent, theirs: str) -> None:
    """A client of another session, or an agent of one."""
    other = Authority.create(SESSION)
    context = other.client_context()
    if theirs == "certificate":
        context.load_verify_locations(cadata=agent.authority.authority_certificate.decode())
    tunnel = Tunnel(SESSION, local_side({}))
    layer, sock = TlsLayer(context, server_side=False, server_hostname=SESSION), await link_to(agent)
    with pytest.raises(TunnelLost) as raised:
        await tunnel.start(sock, [layer])
    expected = "TLS alert from the peer: unknown ca" if theirs == "certificate" else "certificate verify failed"
    assert expected in raised.value.text
    await agent.says("a connection to the tunnel port was refused")
    await tunnel.closed()


async def test_wrong_session_name_is_refused(agent: Agent) -> None:
    tunnel = Tunnel("payments-a1b2c", local_side({}))
    with pytest.raises(TunnelLost, match="HELLO of session"):
        await tunnel.start(await link_to(agent), [client_layer(agent.authority)])
    await tunnel.closed()


async def test_no_agent_is_a_loss() -> None:
    """The socket ends before anything was said."""
    one, two = tcp_pair()
    two.close()
    tunnel = Tunnel(SESSION, local_side({}))
    with pytest.raises(TunnelLost, match=r"the connection (was closed|broke)"):
        await tunnel.start(one, [client_layer(Authority.create(SESSION))])
    assert (await tunnel.ended).reason is Reason.GONE
    await tunnel.closed()


async def test_cancelled_start_closes(agent: Agent) -> None:
    one, two = tcp_pair()
    tunnel = Tunnel(SESSION, local_side({}))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await tunnel.start(one, [client_layer(agent.authority)])
    two.close()
    await tunnel.closed()
    assert tunnel.ended.result().reason is Reason.CANCELLED


async def test_never_started_closes() -> None:
    tunnel = Tunnel(SESSION, local_side({}))
    tunnel.close(Reason.CANCELLED)
    await tunnel.closed()


async def test_bug_ends_tunnel_loudly(agent: Agent) -> None:
    """An exception in a callback: asyncio would log it and leave a tunnel that neither works nor ends."""
    loop = asyncio.get_running_loop()
    seen: list[object] = []
    loop.set_exception_handler(lambda _, context: seen.append(context["exception"]))

    def stumble(_: object) -> None:
        raise ZeroDivisionError("a bug")

    tunnel = Tunnel(SESSION, local_side({}), on_message=stumble)
    await tunnel.start(await link_to(agent), [client_layer(agent.authority)])
    loop.call_soon(tunnel._mux.poller.call_soon, lambda: stumble(None))
    lost = await asyncio.wait_for(asyncio.shield(tunnel.ended), 20)
    assert lost.reason is Reason.BROKEN
    assert lost.text == "internal error: ZeroDivisionError('a bug')"
    assert isinstance(seen[0], ZeroDivisionError)
    await tunnel.closed()


async def test_agents_death_is_heard(tmp_path_factory: pytest.TempPathFactory) -> None:
    with running_agent(tmp_path_factory.mktemp("agent")) as agent:
        async with tunnel_to(agent, local_side({})) as tunnel:
            agent.process.kill()
            lost = await asyncio.wait_for(asyncio.shield(tunnel.ended), 20)
            assert lost.reason is Reason.GONE


async def test_garbage_leaves_agent_alone(agent: Agent) -> None:
    async with tunnel_to(agent, local_side({})) as tunnel:
        for garbage in (b"GET / HTTP/1.1\r\n\r\n", os.urandom(5000), b""):
            reader, writer = await asyncio.open_connection(agent.bind, TUNNEL)
            writer.write(garbage)
            writer.write_eof()
            await asyncio.wait_for(reader.read(), 20)
            writer.close()
        assert (await tunnel.ask("arm"))["reply"]
