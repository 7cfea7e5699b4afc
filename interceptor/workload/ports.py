"""Which ports of the pod are served by the local process; `session` calls it with what was typed and what there is.

Pure. A port without a Service is fine (others reach a pod by its address); one that nobody knows is most likely a
typing mistake and is refused with what there is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from interceptor.errors import InterceptorError, UsageError
from interceptor.workload.selectors import selects

Object = dict[str, Any]


@dataclass(frozen=True)
class PortMap:
    """Connections to `pod` are answered by `local` on the machine; `name` is the container's word for it, or ""."""

    local: int
    pod: int
    name: str


@dataclass(frozen=True)
class _Port:
    number: int
    name: str
    protocol: str


def choose_ports(
    typed: Sequence[str], workload: Object, container: str, services: Sequence[Object], *, datagrams: bool = False
) -> tuple[PortMap, ...]:
    """The TCP ports as typed, else those of the container, else those that Services aim at.

    With `datagrams`, UDP is served too (`choose_datagrams`): what was typed for that is passed over, and none may be left.
    """
    declared, foreign, known = _look(workload, container, services)
    if datagrams:
        spoken = {
            word: {port.protocol for port in known if word in (port.name, str(port.number))} for word in _words(typed)
        }
        only = {word for word, protocols in spoken.items() if protocols == {"UDP"}}
        rest = [text for text in typed if text.rpartition(":")[2] not in only]
        if typed and not rest:
            return ()
        typed = rest
    if typed:
        chosen = tuple(_one(text, known, foreign, container) for text in typed)
    else:
        pool = [port for port in declared if port.protocol == "TCP"] or [
            port for port in known if port.protocol == "TCP"
        ]
        chosen = tuple({port.number: PortMap(port.number, port.number, port.name) for port in pool}.values())
    if not chosen and datagrams:
        return ()
    if not chosen:
        if any(port.protocol == "UDP" for port in known):
            raise InterceptorError(f"container {container} has only UDP ports, which have no requests to be seen")
        raise UsageError(f"container {container} declares no port and no Service aims at one", hint="add --port NUMBER")
    _refuse_twice(chosen)
    return chosen


def choose_datagrams(
    typed: Sequence[str], workload: Object, container: str, services: Sequence[Object]
) -> tuple[PortMap, ...]:
    """The UDP ports: of those typed, else of the container, else those that Services aim at."""
    declared, _, known = _look(workload, container, services)
    if not typed:
        udp = [port for port in declared if port.protocol == "UDP"] or [
            port for port in known if port.protocol == "UDP"
        ]
        return tuple({port.number: PortMap(port.number, port.number, port.name) for port in udp}.values())
    chosen: dict[int, PortMap] = {}
    for text in typed:
        local, colon, wanted = text.rpartition(":")
        for port in known:
            if port.protocol == "UDP" and wanted in (port.name, str(port.number)) and (not colon or _is_port(local)):
                chosen[port.number] = PortMap(int(local) if colon else port.number, port.number, port.name)
    return tuple(chosen.values())


def _words(typed: Sequence[str]) -> set[str]:
    return {text.rpartition(":")[2] for text in typed}


def _look(
    workload: Object, container: str, services: Sequence[Object]
) -> tuple[list[_Port], dict[int, str], list[_Port]]:
    """What the container declares, which numbers are others', and the first with what Services aim at."""
    declared, foreign = _declared(workload, container)
    aimed = _aimed_at([item for item in services if selects(item["spec"].get("selector") or {}, workload)])
    return declared, foreign, _merge(declared, aimed, foreign)


def free_ports(workload: Object, count: int, start: int = 47811) -> tuple[int, ...]:
    """Numbers for the agent itself that no container of the pod uses."""
    taken = {
        port.get(key)
        for container in _all_containers(workload)
        for port in container.get("ports") or []
        for key in ("containerPort", "hostPort")
    }
    free = [number for number in range(start, start + count + len(taken)) if number not in taken]
    return tuple(free[:count])


def _all_containers(workload: Object) -> list[Object]:
    """Those that run beside each other: sidecars are init containers that go on."""
    spec = workload["spec"]["template"]["spec"]
    sidecars = [item for item in spec.get("initContainers") or [] if item.get("restartPolicy") == "Always"]
    return [*spec["containers"], *sidecars]


def _declared(workload: Object, container: str) -> tuple[list[_Port], dict[int, str]]:
    """The container's ports, and which other container has which number."""
    declared: list[_Port] = []
    foreign: dict[int, str] = {}
    for item in _all_containers(workload):
        for port in item.get("ports") or []:
            if item["name"] == container:
                found = _Port(port["containerPort"], port.get("name", ""), port.get("protocol", "TCP"))
                declared.append(found)
            else:
                foreign.setdefault(port["containerPort"], item["name"])
    return declared, foreign


def _aimed_at(services: Sequence[Object]) -> list[_Port]:
    """The numbers Services send to. A name is the container's business: `declared` has it or nobody does."""
    aimed = []
    for service in services:
        for port in service["spec"].get("ports") or []:
            number = port.get("targetPort", port["port"])
            if isinstance(number, int):
                aimed.append(_Port(number, "", port.get("protocol", "TCP")))
    return aimed


def _merge(declared: list[_Port], aimed: list[_Port], foreign: dict[int, str]) -> list[_Port]:
    known = list(declared)
    for port in aimed:
        if port.number not in foreign and not any(
            (port.number, port.protocol) == (have.number, have.protocol) for have in known
        ):
            known.append(port)
    return known


def _one(text: str, known: list[_Port], foreign: dict[int, str], container: str) -> PortMap:
    local, colon, wanted = text.rpartition(":")
    if not wanted or (colon and not _is_port(local)):
        raise UsageError(f"{text!r} is not a port", hint="type [LOCAL:]POD, as in 8080, http or 9000:8080")
    matching = [port for port in known if wanted in (port.name, str(port.number))]
    tcp = [port for port in matching if port.protocol == "TCP"]
    if tcp:
        port = tcp[0]
    elif matching:
        raise InterceptorError(f"port {wanted} is {matching[0].protocol}, and only TCP and UDP can be intercepted")
    elif _is_port(wanted) and int(wanted) in foreign:
        raise InterceptorError(
            f"port {wanted} belongs to container {foreign[int(wanted)]}", hint=f"add -c {foreign[int(wanted)]}"
        )
    elif _is_port(wanted) and not known:
        port = _Port(int(wanted), "", "TCP")  # nothing is declared, so there is nothing to hold it against
    else:
        raise InterceptorError(f"container {container} has no port {wanted}", hint=f"it has: {_listed(known)}")
    return PortMap(int(local) if colon else port.number, port.number, port.name)


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and 1 <= int(text[:6]) <= 65535


def _listed(known: list[_Port]) -> str:
    if not known:
        return "none"
    words = []
    for port in known:
        words.append(f"{port.number}" + (f" ({port.name})" if port.name else ""))
        if port.protocol != "TCP":
            words[-1] += f" {port.protocol}"
    return ", ".join(words)


def _refuse_twice(chosen: tuple[PortMap, ...]) -> None:
    seen: set[int] = set()
    for port in chosen:
        if port.pod in seen:
            raise UsageError(f"pod port {port.pod} is named twice")
        seen.add(port.pod)
