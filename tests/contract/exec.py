"""exec over a bare WebSocket, for the contract."""

from __future__ import annotations

import json
from dataclasses import dataclass
from urllib.parse import urlencode

import aiohttp

from tests.contract.api import Api, Object


@dataclass(frozen=True)
class Result:
    out: str
    err: str
    status: Object

    @property
    def code(self) -> int:
        if self.status["status"] == "Success":
            return 0
        return int(self.status["details"]["causes"][0]["message"])


async def run(api: Api, name: str, *command: str, stdin: bytes = b"", protocol: str = "v5.channel.k8s.io") -> Result:
    query = [("stdout", "true"), ("stderr", "true"), *(("command", word) for word in command)]
    if stdin:
        query.append(("stdin", "true"))
    output = {1: b"", 2: b"", 3: b""}
    async with api.websocket(api.path("pods", name, "exec") + "?" + urlencode(query), protocol) as socket:
        if stdin:
            await socket.send_bytes(b"\0" + stdin)
            await socket.send_bytes(b"\xff\0")
        async for message in socket:
            assert message.type is aiohttp.WSMsgType.BINARY
            output[message.data[0]] += message.data[1:]
    return Result(output[1].decode(), output[2].decode(), json.loads(output[3]))
