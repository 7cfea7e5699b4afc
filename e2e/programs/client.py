"""One question asked from inside the cluster, answered as one line of JSON; run by `kubectl exec`.

burst URL COUNT PARALLEL [SECONDS]  GETs on connections of their own, each given up after so long: statuses, errors, latency
put URL SIZE COUNT           PUTs at the same time whose body comes back: all bytes compared
upload URL SIZE              one PUT to /sum; download URL SIZE: one GET of /bytes; rate and hash
latency URL SECONDS          one keep-alive connection, one request after the other
reach HOST:PORT...           until each takes connections, some in a row: a node's proxy may be late, and led to old pods
lines HOST PORT COUNT        numbered lines echoed over TCP, then half-close: what came back, and how it ended
"""

import asyncio
import hashlib
import json
import sys
import time
from collections import Counter
from urllib.parse import urlsplit

from e2e.programs.content import blocks, digest
from e2e.programs.load import get

Report = dict[str, object]


def target(url: str) -> tuple[str, int]:
    split = urlsplit(url)
    return split.hostname or "", split.port or 80


def spread(latencies: list[float]) -> Report:
    ordered = sorted(latencies) or [-1.0]
    return {"p50": ordered[len(ordered) // 2], "p99": ordered[len(ordered) * 99 // 100], "max": ordered[-1]}


async def burst(url: str, count: int, parallel: int, patience: float = 60.0) -> Report:
    gate, latencies = asyncio.Semaphore(parallel), list[float]()
    seen: Counter[str] = Counter()

    async def one() -> None:
        async with gate:
            started = time.monotonic()
            try:
                async with asyncio.timeout(patience):
                    status, text = await get(*target(url), urlsplit(url).path or "/")
                seen[f"{status} {text.split(' ')[0]}"] += 1
            except (OSError, TimeoutError) as error:
                seen[f"0 {type(error).__name__}"] += 1
            latencies.append((time.monotonic() - started) * 1000)

    started = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(one(), name=f"request {number}")
    return {"seen": dict(seen), "seconds": time.monotonic() - started, **spread(latencies)}


async def exchange(url: str, method: str, path: str, size: int) -> tuple[int, str, float]:
    """A body of `size` known bytes out (PUT), whatever comes back in: its length, hash and seconds."""
    host, port = target(url)
    started = time.monotonic()
    reader, writer = await asyncio.open_connection(host, port)

    async def send() -> None:
        length = size if method == "PUT" else 0
        writer.write(f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n".encode())
        for block in blocks(length):
            writer.write(block)
            await writer.drain()

    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(send(), name="body")
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            length = next(
                int(line.split(":")[1]) for line in head.split("\r\n") if line.lower().startswith("content-length")
            )
            seen, left, first = hashlib.sha256(), length, b""
            while left:
                data = await reader.read(min(left, 1 << 18))
                if not data:
                    raise ConnectionError(f"ended {left} bytes early")
                first = first or data[:64]
                seen.update(data)
                left -= len(data)
    finally:
        writer.close()
    return length, first.decode().strip() if path == "/sum" else seen.hexdigest(), time.monotonic() - started


async def put(url: str, size: int, count: int) -> Report:
    started = time.monotonic()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(exchange(url, "PUT", "/echo", size), name=f"put {n}") for n in range(count)]
    seconds, wanted = time.monotonic() - started, digest(size)
    return {"equal": sum(t.result()[:2] == (size, wanted) for t in tasks), "MBps": 2 * count * size / seconds / 1e6}


async def one_way(url: str, method: str, path: str, size: int) -> Report:
    _, seen, seconds = await exchange(url, method, path, size)
    return {"equal": seen == digest(size), "MBps": size / seconds / 1e6}


async def latency(url: str, seconds: float) -> Report:
    host, port = target(url)
    reader, writer = await asyncio.open_connection(host, port)
    latencies, end = list[float](), time.monotonic() + seconds
    while time.monotonic() < end:
        started = time.monotonic()
        writer.write(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readuntil(b"\n")
        assert b" 200 " in head, head
        latencies.append((time.monotonic() - started) * 1000)
    writer.close()
    return {"requests": len(latencies), **spread(latencies)}


async def reach(*places: str) -> Report:
    """Each try is short: a connection begun before the proxy's rule is never led anywhere."""
    started = time.monotonic()

    async def one(host: str, port: int) -> None:
        in_a_row = 0
        while in_a_row < 5:
            try:
                async with asyncio.timeout(2):
                    _, writer = await asyncio.open_connection(host, port)
                writer.close()
                in_a_row += 1
            except (OSError, TimeoutError):
                in_a_row = 0
                await asyncio.sleep(0.2)

    async with asyncio.timeout(100), asyncio.TaskGroup() as group:
        for place in places:
            host, _, port = place.partition(":")
            group.create_task(one(host, int(port)), name=place)
    return {"seconds": time.monotonic() - started}


async def lines(host: str, port: int, count: int, idle: float) -> Report:
    reader, writer = await asyncio.open_connection(host, port)
    back = 0
    for number in range(count):
        writer.write(b"%d\n" % number)
        if number == count // 2:
            await asyncio.sleep(idle)
        back += int(await reader.readline()) == number
    writer.write_eof()
    rest = await reader.read(-1)  # ends only if the other side's FIN comes through
    writer.close()
    return {"back": back, "last": rest.decode().strip()}


async def main(kind: str, *arguments: str) -> Report:
    match kind, arguments:
        case "burst", (url, count, parallel, *patience):
            return await burst(url, int(count), int(parallel), *map(float, patience))
        case "put", (url, size, count):
            return await put(url, int(size), int(count))
        case "upload", (url, size):
            return await one_way(url, "PUT", "/sum", int(size))
        case "download", (url, size):
            return await one_way(url, "GET", f"/bytes/{size}", int(size))
        case "latency", (url, seconds):
            return await latency(url, float(seconds))
        case "reach", places:
            return await reach(*places)
        case "lines", (host, port, count, idle):
            return await lines(host, int(port), int(count), float(idle))
    raise SystemExit(__doc__)


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(*sys.argv[1:]))))
