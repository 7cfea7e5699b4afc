"""What of this machine COMMAND may reach, and how it resolves names in its sandbox; `home` asks, who starts checks."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interceptor.errors import InterceptorError
from interceptor.sandbox.files.choice import check_named, read_wish, volumes_of
from interceptor.sandbox.folder import where
from interceptor.sandbox.spec import File, Mount, MountKind
from interceptor.session.options import HomeOptions

Object = dict[str, Any]

_NSS = "/etc/nsswitch.conf"
_NAME_CACHE = "/var/run/nscd"  # its daemon would answer with this machine's names


@dataclass(frozen=True, slots=True)
class Places:
    """`--local` and `--local-net`: ports of the loopback, or all of it, and addresses beyond with their names."""

    ports: frozenset[int] = frozenset()
    beyond: frozenset[tuple[str, int]] = frozenset()
    names: tuple[tuple[str, str], ...] = ()  # address, name
    whole: bool = False


async def check_places(options: HomeOptions) -> None:
    """See that what was typed means something, before anything is changed. Raises InterceptorError."""
    read_wish(options.mounts, where())
    await find_places(options)


def check_mounts(options: HomeOptions, workload: Object, pods: Sequence[Object], container: str) -> None:
    """See that the volumes named are the container's, before anything is changed. Raises UsageError.

    As the template has them and the pods: admission adds to those. Without a pod nobody knows what it would add, and
    whoever opens the volumes of the session's own pod finds out.
    """
    wish = read_wish(options.mounts, where())
    if wish.places and pods:
        known = [*volumes_of(workload["spec"]["template"], container, "")]
        for pod in pods:
            if any(one["name"] == container for one in pod["spec"]["containers"]):
                known += volumes_of(pod, container, "")
        check_named(known, wish)


async def find_places(options: HomeOptions) -> Places:
    """Resolve what was typed, on this machine. Raises InterceptorError for a name that has no address."""
    ports, beyond, names = set(), set(), []
    for typed in options.local:
        host, _, port = typed.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if not host:
            ports.add(int(port))
            continue
        for address in await _resolve(host, typed):
            if ipaddress.ip_address(address).is_loopback:
                ports.add(int(port))
                continue
            beyond.add((address, int(port)))
            if address != host:
                names.append((address, host))
    return Places(frozenset(ports), frozenset(beyond), tuple(names), options.local_net)


async def _resolve(host: str, typed: str) -> list[str]:
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:  # a label that is empty or too long is no name at all
        hint = "give an address or a name of this machine"
        why = error.strerror if isinstance(error, OSError) else "no host can have this name"
        raise InterceptorError(f"--local {typed}: {why}", hint=hint) from error
    return [str(address[0]) for *_, address in found]


def name_files(network: Mapping[str, Any], places: Places) -> tuple[File, ...]:
    """The files by which programs resolve names: the pod's, and no service of this machine."""
    hosts = str(network["hosts"])
    hosts += "".join(f"{address}\t{name}\n" for address, name in places.names)
    files = [File("/etc/resolv.conf", str(network["resolv"])), File("/etc/hosts", hosts)]
    if os.path.exists("/etc/hostname"):
        files.append(File("/etc/hostname", f"{network['hostname']}\n"))
    if os.path.exists(_NSS):
        lines = Path(_NSS).read_text(errors="surrogateescape").splitlines()
        kept = [line for line in lines if not line.lstrip().startswith("hosts:")]
        files.append(File(_NSS, "\n".join([*kept, "hosts: files dns", ""])))
    return tuple(files)


def name_mounts() -> tuple[Mount, ...]:
    """Hide the socket of a daemon that caches this machine's names."""
    return (Mount(MountKind.TMPFS, _NAME_CACHE, options="size=4k"),) if os.path.isdir(_NAME_CACHE) else ()
