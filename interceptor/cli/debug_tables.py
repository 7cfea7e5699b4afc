"""What `interceptor debug` found, as tables for people and one JSON document for scripts; `cli.debug` prints it. Pure."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from interceptor.cli.table import lines
from interceptor.session.debug.connections import Connections, Socket

if TYPE_CHECKING:
    from interceptor.session.debug.dns import Answer, Resolution

_LISTENING = ("LISTEN", "UNCONN")


def document(found: "Connections | Resolution") -> dict[str, Any]:
    """The JSON, as docs/commands.md describes it."""
    if isinstance(found, Connections):
        return asdict(found)
    return {"resolved": bool(found.addresses), **asdict(found)}


def connection_lines(found: Connections) -> Iterator[str]:
    """Sockets, those that listen last; then what is translated, where anything is."""
    several = len({one.pod for one in found.sockets}) > 1
    head = ["PROTO", "STATE", "LOCAL", "REMOTE", "PEER", "UNREAD", "UNSENT", "PROCESS"]
    ordered = sorted(found.sockets, key=lambda one: (one.pod, one.state in _LISTENING, one.protocol, one.local))
    rows = [[*([one.pod] if several else []), *_row(one)] for one in ordered]
    if rows:
        yield from lines([[*(["POD"] if several else []), *head], *rows])
    else:
        yield "no sockets"
    translated = [one for one in found.tracked if one.actual != one.destination]
    if translated:
        yield ""
        table = [
            [*([one.pod] if several else []), one.protocol, one.state or "-", one.source, one.destination, one.actual]
            for one in translated
        ]
        yield from lines([[*(["POD"] if several else []), "PROTO", "STATE", "SOURCE", "ASKED", "REACHED"], *table])
    for note in found.notes:
        yield f"note: {note}"


def _row(one: Socket) -> list[str]:
    process = f"{one.process} ({one.pid})" if one.process else "-"
    queues = [str(one.received), str(one.unsent)]
    return [one.protocol, one.state, one.local, one.remote, one.peer or "-", *queues, process]


def resolution_lines(found: "Resolution") -> Iterator[str]:
    """The resolver, each question with its answers, and what came of it."""
    resolver = found.resolver
    yield f"pod       {found.pod}"
    yield f"servers   {', '.join(resolver.servers) or 'none'}"
    yield f"search    {' '.join(resolver.search) or 'none'}   (ndots {resolver.ndots})"
    if found.asked:
        yield ""
        yield from lines([["NAME", "TYPE", "STATUS", "TIME", "SERVER", "ANSWER"], *_answers(found.asked)])
    yield ""
    if found.addresses:
        by = (
            "" if found.through == found.name else f", as {found.through}" if found.asked else f", from {found.through}"
        )
        yield f"{found.name} is {', '.join(found.addresses)}{by}"
    else:
        yield f"{found.name} does not resolve"


def _answers(asked: "list[Answer]") -> Iterator[list[str]]:
    for one in asked:
        took = "-" if one.ms is None else f"{one.ms} ms"
        rows = [answer.split(maxsplit=4) for answer in one.answers] or [["", "-", "", "", "-"]]
        for index, row in enumerate(rows):
            text = f"{row[4]} ({row[3]}, {row[1]} s)" if row[3] and len(row) > 4 else "-"
            first = [one.name, one.type, one.status, took, one.server]
            yield [*(first if index == 0 else ["", "", "", "", ""]), text]
