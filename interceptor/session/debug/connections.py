"""The sockets of the pods, and what their kernels translate, read with `ss` and `conntrack`; `run` calls it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass

from interceptor.errors import InterceptorError
from interceptor.kube import ExecFailed
from interceptor.mesh.callers import Callers
from interceptor.session.debug.place import Place

WITHIN = 20.0
_SS = ("ss", "-H", "-O", "-n", "-t", "-u", "-a", "-p")
_CONNTRACK = ("conntrack", "-L", "-o", "extended")
_PROCESS = re.compile(r'\("([^"]*)",pid=(\d+)')
_PAIR = re.compile(r"(src|dst|sport|dport)=(\S+)")
_PROTOCOLS = ("tcp", "udp", "sctp", "dccp")


@dataclass(frozen=True, slots=True)
class Socket:
    """One socket. Addresses are `HOST:PORT`, as `ss` has them; `peer` names the workload that has the address."""

    pod: str
    protocol: str
    state: str
    received: int  # bytes that the app has not read; of a listening socket, connections not accepted
    unsent: int  # bytes that the other side has not acknowledged; of a listening socket, its limit
    local: str
    remote: str
    process: str
    pid: int | None
    peer: str = ""


@dataclass(frozen=True, slots=True)
class Tracked:
    """One connection that the kernel follows; where `actual` differs from `destination`, it is translated."""

    pod: str
    protocol: str
    state: str
    source: str
    destination: str
    actual: str


@dataclass(frozen=True, slots=True)
class Connections:
    """All of it; `notes` say what could not be seen."""

    sockets: list[Socket]
    tracked: list[Tracked]
    notes: list[str]


async def connections(places: Sequence[Place]) -> Connections:
    """Ask every pod at once."""
    found = Connections([], [], [])
    async with asyncio.TaskGroup() as group:
        asked = [(group.create_task(_sockets(place), name=f"ss in {place.pod}"),
                  group.create_task(_tracked(place, found.notes), name=f"conntrack in {place.pod}"))
                 for place in places]  # fmt: skip
    for sockets, tracked in asked:
        found.sockets.extend(sockets.result())
        found.tracked.extend(tracked.result())
    callers = Callers(places[0].cluster)
    named: list[Socket] = []
    for one in found.sockets:
        host = host_of(one.remote)
        caller = await callers.find(host) if host not in ("", "*", "0.0.0.0", "[::]", "127.0.0.1") else None
        named.append(one if caller is None else _with_peer(one, caller.title))
    if callers.note:
        found.notes.append(callers.note)
    return Connections(named, found.tracked, list(dict.fromkeys(found.notes)))


def host_of(address: str) -> str:
    """The address of an endpoint, as a pod's status has it."""
    host = address.rpartition(":")[0].partition("%")[0].strip("[]")
    return host.removeprefix("::ffff:")


def _with_peer(one: Socket, peer: str) -> Socket:
    return Socket(
        one.pod, one.protocol, one.state, one.received, one.unsent, one.local, one.remote, one.process, one.pid, peer
    )


async def _sockets(place: Place) -> list[Socket]:
    try:
        done = await place.run(_SS, within=WITHIN)
    except ExecFailed as error:
        raise place.lacks("ss", error) from error
    if done.exit_code:
        words = done.stderr.decode(errors="replace").strip()
        raise InterceptorError(f"ss in pod {place.pod} failed: {words or f'status {done.exit_code}'}")
    return read_sockets(place.pod, done.stdout.decode(errors="replace"))


def read_sockets(pod: str, text: str) -> list[Socket]:
    """Read what `ss` prints: protocol, state, two queues, two addresses, and whose it is where that may be seen."""
    found = []
    for line in text.splitlines():
        words = line.split(maxsplit=6)
        if len(words) < 6:
            continue
        protocol, state, received, unsent, local, remote = words[:6]
        process = _PROCESS.search(words[6]) if len(words) > 6 else None
        name, pid = (process[1], int(process[2])) if process else ("", None)
        found.append(Socket(pod, protocol, state, int(received), int(unsent), local, remote, name, pid))
    return found


async def _tracked(place: Place, notes: list[str]) -> list[Tracked]:
    """What the pod's kernel follows; it may have nothing to tell, or not be allowed to."""
    try:
        done = await place.run(_CONNTRACK, within=WITHIN)
    except ExecFailed as error:
        notes.append(f"translated addresses are not seen: {place.lacks('conntrack', error).message}")
        return []
    if done.exit_code:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        notes.append(f"translated addresses are not seen: {last[0] if last else f'status {done.exit_code}'}")
        return []
    return read_tracked(place.pod, done.stdout.decode(errors="replace"))


def read_tracked(pod: str, text: str) -> list[Tracked]:
    """Read what `conntrack -L` prints: both directions of each connection."""
    found = []
    for line in text.splitlines():
        pairs = _PAIR.findall(line)
        protocol = next((word for word in line.split()[:4] if word in _PROTOCOLS), "")
        if len(pairs) < 8 or not protocol:
            continue
        forth, back = dict(pairs[:4]), dict(pairs[4:8])
        state = next((word for word in line.partition("src=")[0].split() if word.isupper() or "_" in word), "")
        found.append(
            Tracked(
                pod,
                protocol,
                state,
                f"{forth['src']}:{forth['sport']}",
                f"{forth['dst']}:{forth['dport']}",
                f"{back['src']}:{back['sport']}",
            )
        )
    return found
