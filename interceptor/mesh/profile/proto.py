"""Reads services and methods of a protobuf file; `session.profile_new` calls it, `build` makes objects of them.

A small scanner and not a compiler: a profile needs package, services, rpcs and one of their options, and the file's imports
need not be there. Comments and texts are told from code, braces are counted; what is not needed is passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from interceptor.errors import InterceptorError
from interceptor.mesh.profile.build import NewRoute
from interceptor.mesh.profile.template import quoted

LIMIT = 16 * 1024 * 1024
_TOKEN = re.compile(
    r"""\s+|//[^\n]*|/\*.*?\*/|(?P<text>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')|(?P<word>[\w.]+)|(?P<mark>[^\s\w])""",
    re.DOTALL,
)
_SAFE = ("IDEMPOTENT", "NO_SIDE_EFFECTS")


def read_proto(text: str, source: str) -> list[NewRoute]:
    """A route for each method. Raises InterceptorError."""
    if len(text) > LIMIT:
        raise InterceptorError(f"{source} has more than {LIMIT >> 20} MiB")
    scanner = _Scanner(list(_tokens(text, source)), source)
    routes = scanner.file()
    if not routes:
        raise InterceptorError(f"{source} has no service with an rpc", hint="is it a .proto file?")
    return routes


def _tokens(text: str, source: str) -> Iterator[str]:
    place = 0
    while place < len(text):
        found = _TOKEN.match(text, place)
        if found is None:
            raise InterceptorError(f"{source} can't be read at line {text.count(chr(10), 0, place) + 1}")
        place = found.end()
        if found.lastgroup is not None:
            yield found[0]


class _Scanner:
    def __init__(self, tokens: list[str], source: str) -> None:
        self._tokens, self._source, self._place = tokens, source, 0
        self._package = ""
        self._routes: list[NewRoute] = []

    def file(self) -> list[NewRoute]:
        while self._place < len(self._tokens):
            word = self._next()
            if word == "package":
                self._package = self._next()
            elif word == "service":
                self._service(self._next())
            elif word == "{":
                self._skip()  # a message, an enum
        return self._routes

    def _service(self, name: str) -> None:
        self._expect("{")
        while (word := self._next()) != "}":
            if word == "rpc":
                self._rpc(name, self._next())
            elif word == "{":
                self._skip()

    def _rpc(self, service: str, name: str) -> None:
        """`rpc Get (stream? In) returns (stream? Out)` and either `;` or a block of options."""
        retryable = False
        while (word := self._next()) not in (";", "{"):
            if word == "}":
                raise self._broken()
        if word == "{":
            inside = self._skip()
            setting = " ".join(inside)
            retryable = any(f"idempotency_level = {value}" in setting for value in _SAFE)
        full = f"{self._package}.{service}" if self._package else service
        path = f"/{full}/{name}"
        self._routes.append(NewRoute(name, "POST", path, quoted(path), retryable=retryable, grpc=(full, name)))

    def _skip(self) -> list[str]:
        """Behind the brace that closes the open one; returns what stood inside."""
        inside: list[str] = []
        depth = 1
        while True:
            word = self._next()
            depth += (word == "{") - (word == "}")
            if not depth:
                return inside
            inside.append(word)

    def _expect(self, wanted: str) -> None:
        if self._next() != wanted:
            raise self._broken()

    def _next(self) -> str:
        if self._place >= len(self._tokens):
            raise self._broken()
        self._place += 1
        return self._tokens[self._place - 1]

    def _broken(self) -> InterceptorError:
        near = " ".join(self._tokens[max(0, self._place - 6) : self._place])
        return InterceptorError(f"{self._source} can't be read near {near!r}", hint="does protoc take it?")
