from __future__ import annotations

import asyncio
import socket
import struct
import subprocess
import sys
from pathlib import Path

import aiohttp

from tests.contract.api import Api
from tests.contract.exec import run
from tests.contract.manifests import ECHO, container, python
from tests.contract.test_pods import start

KUBECTL = Path(sys.executable).with_name("kubectl")


async def echo(api: Api) -> None:
    """A pod that echoes, once it listens."""
    await start(api, python(ECHO, readinessProbe={"tcpSocket": {"port": 8080}, "periodSeconds": 1}))
    await api.eventually(
        lambda: api.get(api.path("pods", "one")), lambda found: bool(found["status"]["containerStatuses"][0]["ready"])
    )


async def test_exec_separates_streams(api: Api) -> None:
    await start(api, container())
    result = await run(api, "one", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (result.out, result.err, result.code) == ("out\n", "err\n", 7)
    assert result.status["reason"] == "NonZeroExitCode"
    assert result.status["message"] == "command terminated with non-zero exit code: command terminated with exit code 7"


async def test_exec_input_ends(api: Api) -> None:
    await start(api, container())
    result = await run(api, "one", "sh", "-c", "cat; echo end", stdin=b"hello\n")
    assert (result.out, result.code) == ("hello\nend\n", 0)


async def test_exec_has_no_shell(api: Api) -> None:
    await start(api, container())
    assert (await run(api, "one", "printf", "%s|", "$HOME", "a b", protocol="v4.channel.k8s.io")).out == "$HOME|a b|"


async def test_exec_of_missing_program(api: Api) -> None:
    await start(api, container())
    result = await run(api, "one", "nosuchprogram")
    assert result.status["status"] == "Failure"
    assert "nosuchprogram" in result.status["message"]


async def test_port_forward_carries_both_ways(api: Api) -> None:
    await echo(api)
    path = api.path("pods", "one", "portforward") + "?ports=8080"
    data = b"x" * 200_000
    async with asyncio.timeout(30), api.websocket(path, "v4.channel.k8s.io") as ws:
        for channel in (0, 1):
            assert (await ws.receive_bytes()) == bytes([channel]) + struct.pack("<H", 8080)
        async with asyncio.TaskGroup() as group:
            sending = [data[at : at + 32_000] for at in range(0, len(data), 32_000)]

            async def send() -> None:
                for part in sending:
                    await ws.send_bytes(b"\0" + part)

            group.create_task(send(), name="send")
            back = b""
            while len(back) < len(data):
                message = await ws.receive_bytes()
                assert message[0] == 0
                back += message[1:]
    assert back == data


async def test_closed_port_is_told(api: Api) -> None:
    await start(api, container())
    path = api.path("pods", "one", "portforward") + "?ports=9"
    errors = b""
    async with asyncio.timeout(30), api.websocket(path, "v4.channel.k8s.io") as ws:
        async for message in ws:
            if message.type is aiohttp.WSMsgType.BINARY and message.data[0] == 1 and len(message.data) > 3:
                errors += message.data[1:]
                break
    assert b"error forwarding port 9 to pod" in errors
    assert b"refused" in errors


async def test_kubectl_forwards(api: Api) -> None:
    """The SPDY tunnel: several connections, each with its own end."""
    await echo(api)
    process = await asyncio.create_subprocess_exec(
        KUBECTL, "--kubeconfig", api.kubeconfig, "-n", api.namespace, "port-forward", "pod/one", ":8080",
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        async with asyncio.timeout(20):
            line = (await process.stdout.readline()).decode()
            port = int(line.split("127.0.0.1:")[1].split()[0])
            for size in (1, 100_000):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(b"y" * size)
                assert await reader.readexactly(size) == b"y" * size
                writer.write_eof()
                assert await reader.read() == b""
                writer.close()
    finally:
        process.kill()
        await process.wait()
        process._transport.close()  # type: ignore[attr-defined]  # its pipe, which nobody reads to the end


async def test_logs_follow(api: Api) -> None:
    code = "import time\nfor i in range(100):\n    print('line', i, flush=True)\n    time.sleep(0.05)"
    await start(api, python(code))
    lines = []
    async with asyncio.timeout(30), api.stream(api.path("pods", "one", "log") + "?follow=true") as content:
        async for line in content:
            lines.append(line.decode().strip())
            if len(lines) == 20:
                break
    assert lines == [f"line {number}" for number in range(20)]
    status, last = await api.text(api.path("pods", "one", "log") + "?tailLines=1")
    assert status == 200
    assert last.startswith("line ")
    assert "\n" not in last


def test_addresses_are_local() -> None:
    """What the dev cluster is built on: all of 127/8 can be bound."""
    with socket.socket() as probe:
        probe.bind(("127.99.1.1", 0))
