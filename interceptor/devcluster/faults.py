"""Faults on purpose: what tests inject into the API server; read by `api.server` at every request.

A rule names requests (empty means any) and says what happens to them: a Status, a delay, or the end of a stream already
running. Rules are bounded by `count`. From Python: `cluster.faults.add(Rule(...))`; over HTTP, for the admin:
POST/GET/DELETE `/faults`.
"""

from __future__ import annotations

import asyncio
import dataclasses
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from aiohttp import web

from interceptor.devcluster.api.requestinfo import RequestInfo
from interceptor.devcluster.status import ApiError, bad_request, unauthorized

How = Literal["rst", "close"]


@dataclass(slots=True)
class Rule:
    """Requests to hit, and with what. `status` 401, 403, 409, 429, 500 and the like; `delay` seconds before anything else."""

    verb: str = ""
    resource: str = ""
    subresource: str | None = None
    namespace: str = ""
    name: str = ""
    user: str = ""
    status: int = 0
    retry_after: int = 1
    delay: float = 0.0
    count: int | None = None
    hits: int = 0

    def matches(self, info: RequestInfo, user: str) -> bool:
        """Tell whether this rule is about a request."""
        return (
            self.count != 0
            and self.verb in ("", info.verb)
            and self.resource in ("", info.plural)
            and self.subresource in (None, info.subresource)
            and self.namespace in ("", info.namespace)
            and self.name in ("", info.name)
            and self.user in ("", user)
        )


@dataclass(eq=False, slots=True)
class Stream:
    """A running watch, log, exec or port-forward that can be cut; whoever serves it sets `end`, which ends it cleanly."""

    info: RequestInfo
    user: str
    request: web.Request
    end: Callable[[], None] = lambda: None


_REASONS = {
    403: ("Forbidden", "{what} is forbidden: a fault injected on purpose"),
    404: ("NotFound", "{what} not found"),
    409: (
        "Conflict",
        "Operation cannot be fulfilled on {what}: the object has been modified; please apply your changes to the "
        "latest version and try again",
    ),
    410: ("Expired", "too old resource version: 1 (2)"),
    429: ("TooManyRequests", "too many requests, please try again later"),
    500: ("InternalError", "Internal error occurred: a fault injected on purpose"),
    503: ("ServiceUnavailable", "the server is currently unable to handle the request"),
    504: ("Timeout", "Timeout: request did not complete within the allotted timeout"),
}


class Faults:
    """The rules in force and the streams that run."""

    def __init__(self) -> None:
        self.rules: list[Rule] = []
        self._streams: set[Stream] = set()

    def add(self, rule: Rule) -> Rule:
        """Put a rule in force; keep it to see its `hits` and to `remove` it."""
        self.rules.append(rule)
        return rule

    def remove(self, rule: Rule) -> None:
        """Take a rule out of force."""
        self.rules = [kept for kept in self.rules if kept is not rule]

    def clear(self) -> None:
        """Take all rules out of force."""
        self.rules.clear()

    async def strike(self, info: RequestInfo, user: str) -> None:
        """Delay or fail a request as the first matching rule says."""
        rule = next((rule for rule in self.rules if rule.matches(info, user)), None)
        if rule is None:
            return
        rule.hits += 1
        if rule.count is not None:
            rule.count -= 1
        if rule.delay:
            await asyncio.sleep(rule.delay)
        if rule.status:
            raise self._error(rule, info)

    @contextmanager
    def running(self, info: RequestInfo, user: str, request: web.Request) -> Iterator[Stream]:
        """Register a stream for as long as it runs."""
        stream = Stream(info, user, request)
        self._streams.add(stream)
        try:
            yield stream
        finally:
            self._streams.discard(stream)

    def streams(self, subresource: str = "", resource: str = "") -> list[Stream]:
        """Return running streams: `watch`, or a subresource such as `portforward`."""
        return [
            stream
            for stream in self._streams
            if (not subresource or subresource in (stream.info.subresource, stream.info.verb))
            and (not resource or resource == stream.info.plural)
        ]

    def cut(self, subresource: str = "", resource: str = "", *, name: str = "", how: How = "rst") -> int:
        """End running streams, by a TCP reset or a clean close, and return how many."""
        found = [stream for stream in self.streams(subresource, resource) if name in ("", stream.info.name)]
        for stream in found:
            transport = stream.request.transport
            if how == "rst" and transport is not None:
                raw = transport.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                transport.abort()
            stream.end()
        return len(found)

    @staticmethod
    def _error(rule: Rule, info: RequestInfo) -> ApiError:
        if rule.status == 401:
            return unauthorized()
        what = f'{info.resource.qualified if info.resource else info.path} "{info.name}"'
        reason, words = _REASONS.get(rule.status, ("Unknown", "a fault injected on purpose"))
        headers = {"Retry-After": str(rule.retry_after)} if rule.status in (429, 503) else {}
        return ApiError(rule.status, reason, words.format(what=what), headers=headers)

    async def serve(self, request: web.Request) -> web.Response:
        """Answer `/faults`: GET lists, POST adds a rule or cuts (`{"cut": "portforward", "how": "rst"}`), DELETE clears."""
        if request.method == "DELETE":
            self.clear()
        elif request.method == "POST":
            body: dict[str, Any] = await request.json()
            try:
                if "cut" in body:
                    body["subresource"] = body.pop("cut")
                    return web.json_response({"cut": self.cut(**body)})
                self.add(Rule(**body))
            except TypeError as error:
                raise bad_request(f"not a fault: {error}") from error
        return web.json_response(
            {"rules": [dataclasses.asdict(rule) for rule in self.rules], "streams": len(self._streams)}
        )
