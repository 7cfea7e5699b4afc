"""What one sandbox is to look like: `session` fills it, `sandbox.namespace` sends it to the child that builds it.

Pure, and tuples, because the child must be up before COMMAND is missed: `dataclasses` alone costs it a fifth of its start.
Paths and variables are text in which bytes that are no UTF-8 are lone surrogates (as `os.fsdecode` gives them).
"""

from __future__ import annotations

import json
from enum import StrEnum
from typing import NamedTuple


class MountKind(StrEnum):
    """How a path of the pod comes to be in the sandbox."""

    BIND = "bind"  # a file or folder of this machine, with what is mounted below it
    TMPFS = "tmpfs"  # an empty folder in memory
    FUSE = "fuse"  # served by the client: the child opens /dev/fuse, mounts, and hands the descriptor over


class Mount(NamedTuple):
    """One mount. A target that this machine lacks is made, in the sandbox only; symlinks in it are followed."""

    kind: MountKind
    target: str  # absolute, as in the pod
    source: str = ""  # BIND: the path on this machine; else the name /proc/mounts shows
    read_only: bool = False
    options: str = ""  # TMPFS: "size=1m,mode=755"; FUSE: "max_read=131072" (fd, rootmode and ids are added)
    folder: bool = True  # FUSE: whether its root is a folder; else a file


class File(NamedTuple):
    """One file's contents in place of this machine's (resolv.conf, hosts): a copy in memory, bound over the target."""

    target: str
    text: str
    mode: int = 0o644


Port = tuple[str, int]
"""TCP or UDP, and the number."""


class Network(NamedTuple):
    """The pod's place in its network. An address family that the pod lacks has no route in the sandbox either."""

    addresses: tuple[str, ...] = ()  # the pod's own, IPv4 and IPv6
    # Intercepted: on its own addresses COMMAND's, also while it doesn't listen (else a datagram for nobody would go
    # round by the pod for ever).
    own_ports: tuple[Port, ...] = ()


class Spec(NamedTuple):
    """Everything the child needs to know. User and group ids and the working directory stay the caller's."""

    argv: tuple[str, ...]
    executable: str
    environ: dict[str, str]
    hostname: str = ""  # empty: the machine's own
    mounts: tuple[Mount, ...] = ()  # carried out in this order, after the files
    files: tuple[File, ...] = ()
    network: Network = Network()


def dumps(spec: Spec) -> bytes:
    """Serialise for the child."""
    parts = {
        "mounts": [mount._asdict() for mount in spec.mounts],
        "files": [file._asdict() for file in spec.files],
        "network": spec.network._asdict(),
    }
    return json.dumps({**spec._asdict(), **parts}).encode()


def loads(data: bytes) -> Spec:
    """Read what `dumps` wrote; the two ends are the same version, so nothing is checked."""
    raw = json.loads(data)
    return Spec(
        argv=tuple(raw["argv"]),
        executable=raw["executable"],
        environ=raw["environ"],
        hostname=raw["hostname"],
        mounts=tuple(Mount(**{**mount, "kind": MountKind(mount["kind"])}) for mount in raw["mounts"]),
        files=tuple(File(**file) for file in raw["files"]),
        network=Network(
            tuple(raw["network"]["addresses"]),
            tuple((protocol, number) for protocol, number in raw["network"]["own_ports"]),
        ),
    )
