"""A shop of three services, one route of which fails 30 % and one of which is slow; and a crowd that shops there.

web PORT             GET /checkout/N, /browse/N and /history/N ask the other two, by their Services' names
orders PORT [fixed]  POST /orders/N/pay fails three times in ten, unless it is fixed
stock PORT           GET /stock/N is quick, GET /stock/N/history takes SLOW seconds
crowd HOST COUNT     COUNT of each of the three questions to `web`: one line of JSON, statuses by question
"""

import asyncio
import json
import signal
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from itertools import count

SLOW = 0.5
QUESTIONS = ("checkout", "browse", "history")
AT_ONCE = 4
Answer = Callable[[str, list[str]], Awaitable[int]]


async def ask(host: str, method: str, path: str) -> int:
    reader, writer = await asyncio.open_connection(host, 80)
    try:
        writer.write(
            f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
        )
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.read()
        return int(head.split(b" ", 2)[1])
    finally:
        writer.close()


async def web(_: str, words: list[str]) -> int:
    match words:
        case ["checkout", number]:
            return await ask("orders", "POST", f"/orders/{number}/pay")
        case ["browse", number]:
            return await ask("stock", "GET", f"/stock/{number}")
        case ["history", number]:
            return await ask("stock", "GET", f"/stock/{number}/history")
    return 200


def orders(*, fixed: bool) -> Answer:
    numbers = count()

    async def answer(method: str, words: list[str]) -> int:
        if method == "POST" and words[-1] == "pay" and not fixed:
            return 503 if next(numbers) % 10 in (2, 5, 8) else 200
        return 200

    return answer


async def stock(_: str, words: list[str]) -> int:
    if words[-1] == "history":
        await asyncio.sleep(SLOW)
    return 200


async def serve(answer: Answer, host: str, port: int) -> None:
    end = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, end.set)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                method, path, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
                status = await answer(method, path.strip("/").split("/"))
                writer.write(f"HTTP/1.1 {status} Said\r\nContent-Length: 5\r\n\r\nsaid\n".encode())
                await writer.drain()
                if b"\r\nconnection: close" in head.lower():
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the caller is gone
        finally:
            writer.close()

    server = await asyncio.start_server(connected, host, port, backlog=256)
    print("listening", port, flush=True)
    async with server:
        await end.wait()


async def crowd(host: str, most: int) -> dict[str, dict[str, int]]:
    seen: dict[str, Counter[str]] = {question: Counter() for question in QUESTIONS}

    async def shop(question: str, numbers: "count[int]") -> None:
        while (number := next(numbers)) < most:
            try:
                status = str(await ask(host, "GET", f"/{question}/{number}"))
            except (OSError, asyncio.IncompleteReadError) as error:
                status = type(error).__name__
            seen[question][status] += 1

    async with asyncio.TaskGroup() as group:
        for question in QUESTIONS:
            numbers = count()
            for one in range(AT_ONCE):
                group.create_task(shop(question, numbers), name=f"{question} {one}")
    return {question: dict(found) for question, found in seen.items()}


def main(what: str, *arguments: str) -> None:
    if what == "crowd":
        host, most = arguments
        print(json.dumps(asyncio.run(crowd(host, int(most)))))
        return
    answers = {"web": web, "orders": orders(fixed="fixed" in arguments), "stock": stock}
    host = "127.0.0.1" if "here" in arguments else "0.0.0.0"
    asyncio.run(serve(answers[what], host, int(arguments[0])))


if __name__ == "__main__":
    main(*sys.argv[1:])
