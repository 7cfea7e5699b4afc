"""The session's control socket: other commands of the same user ask here for what this session sees; `intercept` serves it.

Only this user is answered. See `mesh.traffic.sockets` for the asking side.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from interceptor.errors import InterceptorError
from interceptor.mesh.traffic.filters import Filter
from interceptor.mesh.traffic.hub import Hub, Tap
from interceptor.mesh.traffic.record import Record
from interceptor.mesh.traffic.sockets import forget, is_ours, listen
from interceptor.session.events import Event, Teller

MOST_UNREAD = 1024 * 1024  # bytes a tap may lag behind before records are dropped
MOST_BODIES = 1024 * 1024  # bytes of each body that a tap may ask for
LOOK_EVERY = 1.0  # seconds between looks at what is under way for long
MOST_QUESTION = 64 * 1024
LARGEST_NUMBER = 1e12  # in a question: seconds, bytes


class Control:
    """Serves the questions of one session."""

    def __init__(
        self,
        hub: Hub,
        about: Mapping[str, str],
        teller: Teller,
        before: Mapping[str, object] | None = None,
        state: Callable[[], Mapping[str, object]] = dict,
    ) -> None:
        """`before` is what `session.before` found out, and may still be finding; `state` is that of the tunnels now."""
        self._hub = hub
        self._state = state
        self._before = before or {}
        self._about = dict(about)
        self._teller = teller
        self.listening = asyncio.Event()

    async def serve(self) -> None:
        """Serve until cancelled; the socket is gone then. Where it can't be had, the session goes on without."""
        try:
            sock, address = listen(self._about["session"])
        except InterceptorError as error:
            self._teller.tell(Event("note", f"tap and routes can't ask this session: {error.message}"))
            return
        try:
            async with asyncio.TaskGroup() as group:
                serving = True

                def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                    if serving and is_ours(writer.get_extra_info("socket")):
                        task = group.create_task(self._converse(reader, writer), name="control connection")
                        task.add_done_callback(lambda _: writer.close())  # also where it was cancelled unbegun
                    else:
                        writer.close()

                try:
                    server = await asyncio.start_unix_server(connected, sock=sock, limit=MOST_QUESTION)
                    self.listening.set()
                    async with server:
                        await asyncio.get_running_loop().create_future()
                finally:
                    serving = False  # who was accepted just before comes when the group takes nobody any more
        finally:
            forget(address)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                await self._answer(line, reader, writer)
        except (ConnectionError, ValueError):  # it is gone, or its question has no end
            pass

    async def _answer(self, line: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            question = json.loads(line)
            if not isinstance(question, dict):
                raise InterceptorError("a question is a JSON object")
            match question.get("do"):
                case "hello":
                    _say(writer, self._about)
                case "traffic":
                    _say(writer, self._traffic(question))
                case "state":
                    _say(writer, {**self._state(), **self._under_way()})
                case "tap":
                    await self._tap(question, reader, writer)
                case other:
                    raise InterceptorError(f"this version does not know {other!r}")
        except (json.JSONDecodeError, RecursionError) as error:
            _say(writer, {"error": f"not JSON: {error}"})
        except InterceptorError as error:
            _say(writer, {"error": error.message})
        await writer.drain()

    def _traffic(self, question: Mapping[str, Any]) -> dict[str, object]:
        """What was counted, by route."""
        hub, window = self._hub, _number(question, "window")
        hub.catch_up()
        now = hub.clock()
        counts, seconds = hub.traffic.since(window, now)
        return {
            "seconds": min(seconds or now - hub.began, now - hub.began),
            "connections": hub.connections,
            "opaque": hub.opaque,
            "before": self._before,
            "routes": [[*key, count.to_json()] for key, count in counts.items()],
        }

    def _under_way(self) -> dict[str, object]:
        hub = self._hub
        hub.catch_up()
        return {
            "seconds": round(hub.clock() - hub.began, 1),
            "connections": hub.connections,
            "requests_under_way": len(hub.under_way),
            "taps": len(hub.taps),
        }

    async def _tap(
        self, question: Mapping[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Send records until the other end leaves; what it does not read in time is dropped, and counted."""

        def take(record: Record) -> bool:
            if writer.transport.get_write_buffer_size() > MOST_UNREAD or writer.is_closing():
                return False
            _say(writer, record)
            return True

        wanted = question.get("filter") or {}
        if not isinstance(wanted, dict):
            raise InterceptorError("a filter is a JSON object")
        tap = Tap(
            Filter.from_json(wanted),
            take,
            secrets=bool(question.get("secrets")),
            bodies=int(min(_number(question, "bodies") or 0, MOST_BODIES)),
        )
        self._hub.taps.append(tap)
        try:
            _say(writer, {"tapping": self._about["session"]})
            while True:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_EVERY):
                        if not await reader.read(1):
                            return
                self._hub.show_open(tap)
        finally:
            self._hub.taps.remove(tap)


def _number(question: Mapping[str, Any], name: str) -> float | None:
    """One of a question's numbers; None where it has none. Raises InterceptorError for what is no number."""
    value = question.get(name)
    if value is None:
        return None
    if not isinstance(value, (int, float)) or not abs(value) < LARGEST_NUMBER:  # which NaN is not either
        raise InterceptorError(f"{name} is a number, not {value!r:.40}")
    return value


def _say(writer: asyncio.StreamWriter, answer: Mapping[str, object]) -> None:
    writer.write(json.dumps(answer, separators=(",", ":")).encode() + b"\n")
