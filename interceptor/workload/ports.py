"""Which ports of the pod are served by the local process; `session` calls it with what was typed and what there is.

Pure. A port without a Service is fine (others reach a pod by its address); one that nobody knows is most likely a
typing mistake and is refused with what there is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from interceptor.errors import InterceptorError, UsageError
from interceptor.workload.selectors import selects

Object = dict[str, Any]


SERVED = "TCP", "UDP"  # of what Kubernetes knows only SCTP is left out


@dataclass(frozen=True)
class PortMap:
    """What comes to `pod` is answered by `local` on the machine; `name` is the container's word for it, or ""."""

    local: int
    pod: int
    name: str
    protocol: str = "TCP"


def choose_ports(
    typed: Sequence[str], workload: Object, container: str, services: Sequence[Object]
) -> tuple[PortMap, ...]:
    """The ports as typed, else those of the container, else those that Services aim at; TCP's first.

    A number that is both TCP's and UDP's brings both.
    """
    declared, foreign = _declared(workload, container)
    aimed = _aimed_at([item for item in services if selects(item["spec"].get("selector") or {}, workload)])
    known = _merge(declared, aimed, foreign)
    if typed:
        chosen = [port for text in typed for port in _typed(text, known, foreign, container)]
    else:
        chosen = [port for protocol in SERVED for port in _of(protocol, declared) or _of(protocol, known)]
    if not chosen:
        raise UsageError(f"container {container} declares no port and no Service aims at one", hint="add --port NUMBER")
    _refuse_twice(chosen)
    return tuple(sorted(chosen, key=lambda port: SERVED.index(port.protocol)))


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


def _declared(workload: Object, container: str) -> tuple[list[PortMap], dict[int, str]]:
    """The container's ports, of any protocol, and which other container has which number."""
    declared: list[PortMap] = []
    foreign: dict[int, str] = {}
    for item in _all_containers(workload):
        for port in item.get("ports") or []:
            number = port["containerPort"]
            if item["name"] == container:
                declared.append(PortMap(number, number, port.get("name", ""), port.get("protocol", "TCP")))
            else:
                foreign.setdefault(number, item["name"])
    return declared, foreign


def _aimed_at(services: Sequence[Object]) -> list[PortMap]:
    """The numbers Services send to. A name is the container's business: `declared` has it or nobody does."""
    aimed = []
    for service in services:
        for port in service["spec"].get("ports") or []:
            number = port.get("targetPort", port["port"])
            if isinstance(number, int):
                aimed.append(PortMap(number, number, "", port.get("protocol", "TCP")))
    return aimed


def _merge(declared: list[PortMap], aimed: list[PortMap], foreign: dict[int, str]) -> list[PortMap]:
    known = list(declared)
    for port in aimed:
        if port.pod not in foreign and not any(
            (port.pod, port.protocol) == (have.pod, have.protocol) for have in known
        ):
            known.append(port)
    return known


def _of(protocol: str, ports: Sequence[PortMap]) -> list[PortMap]:
    return list({port.pod: port for port in ports if port.protocol == protocol}.values())


def _typed(text: str, known: list[PortMap], foreign: dict[int, str], container: str) -> list[PortMap]:
    local, colon, wanted = text.rpartition(":")
    if not wanted or (colon and not _is_port(local)):
        raise UsageError(f"{text!r} is not a port", hint="type [LOCAL:]POD, as in 8080, http or 9000:8080")
    matching = [port for port in known if wanted in (port.name, str(port.pod))]
    found = [port for protocol in SERVED for port in _of(protocol, matching)[:1]]
    if not found and not known and _is_port(wanted) and int(wanted) not in foreign:
        found = [PortMap(int(wanted), int(wanted), "")]  # nothing is declared, so there is nothing to hold it against
    if not found:
        raise _no_port(wanted, known, foreign, container)
    return [replace(port, local=int(local)) for port in found] if colon else found


def _no_port(wanted: str, known: list[PortMap], foreign: dict[int, str], container: str) -> InterceptorError:
    for port in known:
        if wanted in (port.name, str(port.pod)):
            return InterceptorError(f"port {wanted} is {port.protocol}, and only TCP and UDP can be intercepted")
    if _is_port(wanted) and (owner := foreign.get(int(wanted))):
        return InterceptorError(f"port {wanted} belongs to container {owner}", hint=f"add -c {owner}")
    return InterceptorError(f"container {container} has no port {wanted}", hint=f"it has: {_listed(known)}")


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and 1 <= int(text[:6]) <= 65535


def _listed(known: list[PortMap]) -> str:
    if not known:
        return "none"
    words = []
    for port in known:
        words.append(f"{port.pod}" + (f" ({port.name})" if port.name else ""))
        if port.protocol != "TCP":
            words[-1] += f" {port.protocol}"
    return ", ".join(words)


def _refuse_twice(chosen: list[PortMap]) -> None:
    seen: set[tuple[str, int]] = set()
    for port in chosen:
        if (port.protocol, port.pod) in seen:
            raise UsageError(f"pod port {port.pod} is named twice")
        seen.add((port.protocol, port.pod))
