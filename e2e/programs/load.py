"""A caller that never stops: GETs a URL so many times a second and prints what came back, one line a request.

Runs in a pod; `e2e.load` starts it and reads its log. A line is `EPOCH MILLISECONDS STATUS BODY`; a request
that got no answer has status 0 and the reason. A request starts when its time has come, answered or not the
one before (open loop), so that a stall shows as many slow answers. SIGTERM: finish those under way, say `end`.
"""

import argparse
import asyncio
import signal
import time
from urllib.parse import urlsplit


async def get(host: str, port: int, path: str) -> tuple[int, str]:
    """One request on a connection of its own."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        answer = await reader.read(-1)
    finally:
        writer.close()
    head, found, body = answer.partition(b"\r\n\r\n")
    if not found:
        raise ConnectionError(f"closed after {len(answer)} bytes")
    return int(head.split()[1]), body.decode(errors="replace").strip().replace("\n", " ")


async def one(number: int, url: str, patience: float) -> None:
    split = urlsplit(url)
    started, clock = time.time(), time.monotonic()
    try:
        async with asyncio.timeout(patience):
            status, text = await get(split.hostname or "", split.port or 80, f"{split.path}/{number}")
    except TimeoutError:
        status, text = 0, f"no answer within {patience:g} s"
    except OSError as error:
        status, text = 0, f"{type(error).__name__}: {error}"
    print(f"{started:.3f} {(time.monotonic() - clock) * 1000:.1f} {status} {text}", flush=True)


async def reachable(url: str, within: float = 120.0) -> None:
    """Begin once the Service answers at all: the node's proxy learns of a new one a moment after its pods are ready.

    Each try is a connection of its own, and short: one whose first packet came before the proxy's rule is sent to the
    Service's own address, where nobody is, for as long as the kernel remembers it, however often it is sent again.
    """
    split = urlsplit(url)
    async with asyncio.timeout(within):
        while True:
            try:
                async with asyncio.timeout(2):
                    await get(split.hostname or "", split.port or 80, split.path)
            except (OSError, TimeoutError):
                await asyncio.sleep(0.1)
            else:
                return


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--rate", type=float, default=10.0)
    parser.add_argument("--timeout", type=float, default=15.0)
    options = parser.parse_args()
    end = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, end.set)
    await reachable(options.url)
    first, number = loop.time(), 0
    async with asyncio.TaskGroup() as requests:
        while not end.is_set():
            requests.create_task(one(number, options.url, options.timeout), name=f"request {number}")
            number += 1
            wait = first + number / options.rate - loop.time()
            if wait > 0:
                try:
                    async with asyncio.timeout(wait):
                        await end.wait()
                except TimeoutError:
                    pass
            else:
                await asyncio.sleep(0)
    print("end", number, flush=True)


if __name__ == "__main__":
    asyncio.run(main())
