"""Requests of three protocols whose count, status and time are known: server and generator in one file, so that both agree.

server PORT GRPC_PORT SCALE          HTTP/1.1 and HTTP/2 with prior knowledge on one port, gRPC (grpcio) on the other
load HOST PORT GRPC_PORT COUNT RATE  COUNT requests, RATE of them a second whatever the answers do (0: as fast as it goes);
                                     one line of JSON: counts by route and status, latencies by route

What a request is and how it is answered follows from its number alone. SCALE multiplies the time an answer takes.
"""

import asyncio
import json
import random
import signal
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from itertools import count

import h2.config
import h2.connection
import h2.events

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
H1, H2, GRPC = "h1", "h2", "grpc"
CONNECTIONS = {H1: 48, H2: 4, GRPC: 2}
AT_ONCE = {H1: 1, H2: 10, GRPC: 10}  # on one connection
SPARE = 3  # times as many where a rate is held: there a request must not wait for the answer to another


@dataclass(frozen=True)
class Kind:
    """A route: how it is asked for, and all its statuses in the order in which they come round."""

    protocol: str
    method: str
    path: str  # with {id}
    statuses: tuple[int, ...]
    milliseconds: tuple[int, int]

    @property
    def route(self) -> str:
        return f"{self.method} {self.path}"

    def status(self, number: int) -> int:
        return self.statuses[number // 100 % len(self.statuses)]

    def seconds(self, number: int) -> float:
        least, most = self.milliseconds
        return (least + (most - least) * (number * 7919 % 1000) / 1000) / 1000


OK, NOT_FOUND, UNAVAILABLE = 0, 5, 14
KINDS = {
    "none": Kind(H1, "GET", "/none/{id}", (200,), (0, 0)),
    "books": Kind(H1, "GET", "/books/{id}", (200,), (20, 60)),
    "orders": Kind(H1, "POST", "/orders/{id}", (201, 201, 201, 409), (40, 50)),
    "flaky": Kind(H1, "GET", "/flaky/{id}", (200, 500, 200, 200, 503, 200, 200, 500, 200, 200), (30, 40)),
    "items": Kind(H1, "DELETE", "/items/{id}", (204, 404), (20, 30)),
    "v2books": Kind(H2, "GET", "/v2/books/{id}", (200,), (20, 100)),
    "v2carts": Kind(H2, "PUT", "/v2/carts/{id}", (204, 412), (40, 60)),
    "v2flaky": Kind(H2, "GET", "/v2/flaky/{id}", (200, 200, 200, 502), (30, 60)),
    "Get": Kind(GRPC, "POST", "/shop.Shop/Get", (OK,), (20, 80)),
    "Find": Kind(GRPC, "POST", "/shop.Shop/Find", (OK, NOT_FOUND), (30, 50)),
    "Buy": Kind(GRPC, "POST", "/shop.Shop/Buy", (OK, OK, UNAVAILABLE), (50, 60)),
    "v2none": Kind(H2, "GET", "/v2/none/{id}", (200,), (0, 0)),
    "None": Kind(GRPC, "POST", "/shop.Shop/None", (OK,), (0, 0)),
}
# Which of a hundred requests are what: 60 HTTP/1.1, 25 HTTP/2, 15 gRPC.
HUNDRED = (
    *("books",) * 30, *("orders",) * 10, *("flaky",) * 15, *("items",) * 5,
    *("v2books",) * 13, *("v2carts",) * 6, *("v2flaky",) * 6, *("Get",) * 7, *("Find",) * 4, *("Buy",) * 4,
)  # fmt: skip
# Where a rate is held: among them some that take no time, so that all they take is the way, and the wait for a processor.
WAYS = (*("none",) * 10, *("v2none",) * 10, *("None",) * 10)
MIXED = random.Random(7).sample(HUNDRED + WAYS, len(HUNDRED + WAYS))  # noqa: S311 (the same each time)


def kind_of(path: str) -> tuple[Kind, int]:
    """The route of a path, and the number in it."""
    for kind in KINDS.values():
        before, _, _ = kind.path.partition("{id}")
        if kind.protocol != GRPC and path.startswith(before):
            return kind, int(path[len(before) :])
    raise ValueError(path)


# --- the server ---


async def serve_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, scale: float) -> None:
    try:
        first = await reader.readexactly(3)
        if first == PREFACE[:3]:
            await serve_h2(first, reader, writer, scale)
        else:
            await serve_h1(first, reader, writer, scale)
    except (asyncio.IncompleteReadError, ConnectionError):
        pass  # the caller is gone
    finally:
        writer.close()


async def serve_h1(first: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, scale: float) -> None:
    while True:
        head = first + await reader.readuntil(b"\r\n\r\n")
        first = b""
        _, path, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
        await reader.readexactly(length)
        kind, number = kind_of(path)
        await asyncio.sleep(kind.seconds(number) * scale)
        status = kind.status(number)
        body = b"" if status == 204 else b"x" * 200
        fields = "" if status == 204 else f"Content-Length: {len(body)}\r\n"
        writer.write(f"HTTP/1.1 {status} Said\r\n{fields}\r\n".encode() + body)
        if b"\r\nconnection: close" in head.lower():
            return


async def serve_h2(first: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, scale: float) -> None:
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
    connection.initiate_connection()
    asked: dict[int, str] = {}

    async def answer(stream: int, path: str) -> None:
        kind, number = kind_of(path)
        await asyncio.sleep(kind.seconds(number) * scale)
        status = kind.status(number)
        connection.send_headers(stream, [(":status", str(status)), ("x-number", str(number))], end_stream=status == 204)
        if status != 204:
            connection.send_data(stream, b"x" * 200, end_stream=True)
        writer.write(connection.data_to_send())

    async with asyncio.TaskGroup() as group:
        data = first
        while data:
            for event in connection.receive_data(data):
                if isinstance(event, h2.events.RequestReceived):
                    asked[event.stream_id] = dict(event.headers)[b":path"].decode()
                elif isinstance(event, h2.events.DataReceived):
                    connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, h2.events.StreamEnded):
                    path = asked.pop(event.stream_id)
                    group.create_task(answer(event.stream_id, path), name=f"answer {path}")
            writer.write(connection.data_to_send())
            data = await reader.read(65536)


async def serve_grpc(port: int, scale: float) -> object:
    import grpc

    def handler(kind: Kind) -> object:
        async def answer(request: bytes, context: "grpc.aio.ServicerContext[bytes, bytes]") -> bytes:
            number = int(request)
            await asyncio.sleep(kind.seconds(number) * scale)
            status = kind.status(number)
            if status != OK:
                code = {NOT_FOUND: grpc.StatusCode.NOT_FOUND, UNAVAILABLE: grpc.StatusCode.UNAVAILABLE}[status]
                await context.abort(code, "as wanted")
            return b"x" * 200

        return grpc.unary_unary_rpc_method_handler(answer)

    server = grpc.aio.server()
    methods = {name: handler(kind) for name, kind in KINDS.items() if kind.protocol == GRPC}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("shop.Shop", methods),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    return server


async def serve(port: int, grpc_port: int, scale: float) -> None:
    end = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, end.set)
    keep = await serve_grpc(grpc_port, scale)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await serve_connection(reader, writer, scale)

    await asyncio.start_server(connected, "127.0.0.1", port, backlog=1024)
    print("listening", port, flush=True)
    await end.wait()
    del keep


# --- the generator ---


class Tally:
    """What the generator saw."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = defaultdict(int)
        self.latencies: dict[str, list[float]] = defaultdict(list)

    def add(self, kind: Kind, status: object, began: float, answered: float) -> None:
        word = f"grpc {status}" if kind.protocol == GRPC else status
        self.counts[f"{kind.route} {word}"] += 1
        self.latencies[kind.route].append(round((answered - began) * 1000, 3))


class Pace:
    """When each request is due; how late each began is told."""

    def __init__(self, most: int, rate: float) -> None:
        self.most, self.rate = most, rate
        self._order = MIXED if rate else HUNDRED
        self.began = time.monotonic()
        self.late: list[float] = []

    async def requests(self, protocol: str, numbers: "count[int]") -> AsyncIterator[tuple[Kind, int]]:
        """Those of a protocol, each when it is due; several who send share the numbers."""
        while (number := next(numbers)) < self.most:
            kind = KINDS[self._order[number % len(self._order)]]
            if kind.protocol == protocol:
                if self.rate:
                    due = self.began + number / self.rate
                    await asyncio.sleep(max(0.0, due - time.monotonic()))
                    self.late.append(round((time.monotonic() - due) * 1000, 3))
                yield kind, number


async def load_h1(host: str, port: int, pace: Pace, numbers: "count[int]", _: int, tally: Tally) -> None:
    """One connection, one request after the other."""
    reader, writer = await asyncio.open_connection(host, port)
    async for kind, number in pace.requests(H1, numbers):
        body = b"y" * 100 if kind.method == "POST" else b""
        path = kind.path.replace("{id}", str(number))
        head = f"{kind.method} {path} HTTP/1.1\r\nHost: shop\r\nContent-Length: {len(body)}\r\n\r\n"
        began = time.monotonic()
        writer.write(head.encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        answered = time.monotonic()
        length = int(answer.partition(b"Content-Length: ")[2].partition(b"\r\n")[0] or 0)
        await reader.readexactly(length)
        tally.add(kind, int(answer.split(b" ", 2)[1]), began, answered)
    writer.close()


class CallerH2:
    """One connection with many streams at once."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, at_once: int, tally: Tally) -> None:
        self._reader, self._writer, self._tally = reader, writer, tally
        self._places = asyncio.Semaphore(at_once)
        self._connection = h2.connection.H2Connection()
        self._under_way: dict[int, tuple[Kind, float]] = {}
        self._answered: dict[int, tuple[int, float]] = {}
        self._all_sent = False

    async def send(self, requests: AsyncIterator[tuple[Kind, int]]) -> None:
        connection = self._connection
        connection.initiate_connection()
        async for kind, number in requests:
            await self._places.acquire()
            stream = connection.get_next_available_stream_id()
            path = kind.path.replace("{id}", str(number))
            head = [(":method", kind.method), (":path", path), (":scheme", "http"), (":authority", "shop")]
            connection.send_headers(stream, head, end_stream=kind.method == "GET")
            if kind.method != "GET":
                connection.send_data(stream, b"y" * 100, end_stream=True)
            self._under_way[stream] = kind, time.monotonic()
            self._writer.write(connection.data_to_send())
        self._all_sent = True
        if not self._under_way:
            self._writer.close()

    async def receive(self) -> None:
        connection = self._connection
        while data := await self._reader.read(65536):
            now = time.monotonic()
            for event in connection.receive_data(data):
                if isinstance(event, h2.events.ResponseReceived):
                    self._answered[event.stream_id] = int(dict(event.headers)[b":status"]), now
                elif isinstance(event, h2.events.DataReceived):
                    connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                elif isinstance(event, h2.events.StreamEnded):
                    kind, began = self._under_way.pop(event.stream_id)
                    status, answered = self._answered.pop(event.stream_id)
                    self._tally.add(kind, status, began, answered)
                    self._places.release()
            self._writer.write(connection.data_to_send())
            if self._all_sent and not self._under_way:
                self._writer.close()
                return


async def load_h2(host: str, port: int, pace: Pace, numbers: "count[int]", at_once: int, tally: Tally) -> None:
    """One connection."""
    caller = CallerH2(*await asyncio.open_connection(host, port), at_once, tally)
    async with asyncio.TaskGroup() as group:
        group.create_task(caller.send(pace.requests(H2, numbers)), name="send")
        group.create_task(caller.receive(), name="receive")


async def load_grpc(host: str, port: int, pace: Pace, numbers: "count[int]", at_once: int, tally: Tally) -> None:
    """One channel with many calls at once."""
    import grpc

    options = [("grpc.use_local_subchannel_pool", 1)]  # else channels to one address share a connection
    async with grpc.aio.insecure_channel(f"{host}:{port}", options=options) as channel:
        calls = {kind: channel.unary_unary(kind.path) for kind in KINDS.values() if kind.protocol == GRPC}

        async def call() -> None:
            async for kind, number in pace.requests(GRPC, numbers):
                began, status = time.monotonic(), OK
                try:
                    await calls[kind](b"%d" % number)
                except grpc.aio.AioRpcError as error:
                    status = error.code().value[0]
                tally.add(kind, status, began, time.monotonic())

        async with asyncio.TaskGroup() as group:
            for one in range(at_once):
                group.create_task(call(), name=f"calls {one}")


async def load(host: str, port: int, grpc_port: int, most: int, rate: float) -> dict[str, object]:
    tally, pace = Tally(), Pace(most, rate)
    sender: dict[str, Callable[..., Coroutine[None, None, None]]] = {H1: load_h1, H2: load_h2, GRPC: load_grpc}
    spare = SPARE if rate else 1
    async with asyncio.TaskGroup() as group:
        for protocol, connections in CONNECTIONS.items():
            numbers, to = count(), grpc_port if protocol == GRPC else port
            more, at_once = (spare, 1) if protocol == H1 else (1, AT_ONCE[protocol] * spare)
            for one in range(connections * more):
                sending = sender[protocol](host, to, pace, numbers, at_once, tally)
                group.create_task(sending, name=f"{protocol} {one}")
    seconds = time.monotonic() - pace.began
    return {"counts": tally.counts, "latencies": tally.latencies, "late": pace.late, "seconds": seconds}


def main(what: str, *arguments: str) -> None:
    if what == "server":
        port, grpc_port, scale = arguments
        asyncio.run(serve(int(port), int(grpc_port), float(scale)))
    else:
        host, port, grpc_port, most, rate = arguments
        print(json.dumps(asyncio.run(load(host, int(port), int(grpc_port), int(most), float(rate)))))


if __name__ == "__main__":
    main(*sys.argv[1:])
