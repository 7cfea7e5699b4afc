"""Long-lived connections: the servers on this machine and their callers in a pod, in one file so that both agree.

server KIND PORT       KIND is `websocket` (aiohttp), `grpc` (grpcio), or `lines` (plain TCP, half-closes)
websocket URL COUNT IDLE    COUNT messages there and back, IDLE seconds of silence in the middle
grpc HOST:PORT COUNT IDLE   a unary call, a server stream, a two-way stream with IDLE seconds of silence
"""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Iterator


async def serve_websocket(host: str, port: int) -> object:
    from aiohttp import WSMsgType, web

    async def echo(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                await socket.send_str(f"LOCAL {message.data}")
        return socket

    app = web.Application()
    app.router.add_get("/", echo)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    return runner


async def serve_lines(host: str, port: int) -> object:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        count = 0
        while line := await reader.readline():
            count += 1
            writer.write(line)
            await writer.drain()
        print("end of input after", count, flush=True)  # the caller's FIN, seen here
        writer.write(b"LOCAL saw %d\n" % count)
        writer.write_eof()
        writer.close()

    return await asyncio.start_server(echo, host, port)


async def serve_grpc(host: str, port: int) -> object:
    import grpc

    async def unary(request: bytes, _: object) -> bytes:
        return b"LOCAL " + request

    async def down(request: bytes, _: object) -> AsyncIterator[bytes]:
        for number in range(int(request)):
            yield b"LOCAL %d" % number

    async def both(requests: AsyncIterator[bytes], _: object) -> AsyncIterator[bytes]:
        async for request in requests:
            yield b"LOCAL " + request

    async def healthy(_: bytes, __: object) -> bytes:
        return b"\x08\x01"  # grpc.health.v1.HealthCheckResponse: status SERVING

    server = grpc.aio.server()
    check = {"Check": grpc.unary_unary_rpc_method_handler(healthy)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("grpc.health.v1.Health", check),))
    server.add_generic_rpc_handlers(
        (
            grpc.method_handlers_generic_handler(
                "echo.Echo",
                {
                    "Unary": grpc.unary_unary_rpc_method_handler(unary),
                    "Down": grpc.unary_stream_rpc_method_handler(down),
                    "Both": grpc.stream_stream_rpc_method_handler(both),
                },
            ),
        )
    )
    server.add_insecure_port(f"{host}:{port}")
    await server.start()
    return server  # grpc stops a server nobody refers to


async def call_websocket(url: str, count: int, idle: float) -> dict[str, object]:
    from aiohttp import ClientSession

    async with ClientSession() as session, session.ws_connect(url) as socket:
        in_order = 0
        for number in range(count):
            if number == count // 2:
                await asyncio.sleep(idle)
            await socket.send_str(str(number))
            in_order += await socket.receive_str(timeout=20) == f"LOCAL {number}"
        await socket.close()
        return {"in_order": in_order, "close_code": socket.close_code}


def call_grpc(address: str, count: int, idle: float) -> dict[str, object]:
    import time

    import grpc

    def requests() -> Iterator[bytes]:
        for number in range(count):
            if number == count // 2:
                time.sleep(idle)
            yield b"%d" % number

    with grpc.insecure_channel(address) as channel:
        unary = channel.unary_unary("/echo.Echo/Unary")(b"one", timeout=20)
        down = [bytes(m) for m in channel.unary_stream("/echo.Echo/Down")(b"%d" % count, timeout=60)]
        both = [bytes(m) for m in channel.stream_stream("/echo.Echo/Both")(requests(), timeout=60 + idle)]
    wanted = [b"LOCAL %d" % number for number in range(count)]
    return {"unary": unary.decode(), "down": down == wanted, "both": both == wanted}


async def server(kind: str, port: int, host: str = "127.0.0.1") -> None:
    end = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, end.set)
    keep = await {"websocket": serve_websocket, "lines": serve_lines, "grpc": serve_grpc}[kind](host, port)
    print("listening", port, flush=True)
    await end.wait()
    del keep


def main(kind: str, target: str, *arguments: str) -> None:
    if kind == "server":
        asyncio.run(server(target, int(arguments[0]), *arguments[1:]))
    elif kind == "websocket":
        print(json.dumps(asyncio.run(call_websocket(target, int(arguments[0]), float(arguments[1])))))
    else:
        print(json.dumps(call_grpc(target, int(arguments[0]), float(arguments[1]))))


if __name__ == "__main__":
    main(*sys.argv[1:])
