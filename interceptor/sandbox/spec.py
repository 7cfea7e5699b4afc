"""What one sandbox is to look like: `session` fills it, `sandbox.namespace` sends it to the child that builds it.

Pure. Paths and variables are text in which bytes that are no UTF-8 are lone surrogates (as `os.fsdecode` gives them).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from enum import StrEnum


class MountKind(StrEnum):
    """How a path of the pod comes to be in the sandbox."""

    BIND = "bind"  # a file or folder of this machine, with what is mounted below it
    TMPFS = "tmpfs"  # an empty folder in memory
    FUSE = (
        "fuse"  # a file system that the client serves: the child opens /dev/fuse, mounts, and hands the descriptor back
    )


@dataclass(frozen=True, slots=True)
class Mount:
    """One mount. A target that this machine lacks is made, in the sandbox only; symlinks in it are followed."""

    kind: MountKind
    target: str  # absolute, as in the pod
    source: str = ""  # BIND: the path on this machine; else the name /proc/mounts shows
    read_only: bool = False
    options: str = (
        ""  # TMPFS: "size=1m,mode=755"; FUSE: "max_read=131072,default_permissions" (fd, rootmode, ids are added)
    )
    folder: bool = True  # FUSE: whether its root is a folder; else a file


@dataclass(frozen=True, slots=True)
class File:
    """One file's contents in place of this machine's (resolv.conf, hosts): a copy in memory, bound over the target."""

    target: str
    text: str
    mode: int = 0o644


@dataclass(frozen=True, slots=True)
class Network:
    """The pod's place in its network. An address family that the pod lacks has no route in the sandbox either."""

    addresses: tuple[str, ...] = ()  # the pod's own, IPv4 and IPv6
    own_ports: tuple[
        int, ...
    ] = ()  # intercepted: on the pod's own addresses these are COMMAND's, also while it is not up


@dataclass(frozen=True, slots=True)
class Spec:
    """Everything the child needs to know. User and group ids and the working directory stay the caller's."""

    argv: tuple[str, ...]
    executable: str
    environ: dict[str, str]
    hostname: str = ""  # empty: the machine's own
    mounts: tuple[Mount, ...] = ()  # carried out in this order, after the files
    files: tuple[File, ...] = ()
    network: Network = field(default_factory=Network)


def dumps(spec: Spec) -> bytes:
    """Serialise for the child."""
    return json.dumps(asdict(spec)).encode()


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
        network=Network(tuple(raw["network"]["addresses"]), tuple(raw["network"]["own_ports"])),
    )
