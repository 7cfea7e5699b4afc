"""What the kernel knows of one volume: numbers for the files it has seen, and for how long that may be believed.

`server` keeps one for each mount. A node is a name in a folder, not a file: Kubernetes replaces the files of Secrets and
ConfigMaps by swapping a symlink, and what is under a name then must be asked again. When another file has taken a name's
place (another inode), the name gets a new number, so that nothing cached of the old file is taken for the new one.
"""

from __future__ import annotations

import errno
import os
import time
from dataclasses import dataclass, field

from interceptor.wire.files import Attributes, Step

VALID = 1.0  # seconds that what was seen is believed; the kubelet takes longer to bring a change to the pod
MOST_KNOWN = 4096
ROOT = 1


@dataclass(slots=True, eq=False)
class Node:
    """One name. `lookups` counts how often the kernel was told its number, to the moment it forgets them."""

    number: int
    parent: Node | None
    name: bytes
    seen: Attributes
    target: bytes = b""
    until: float = 0.0  # when `seen` must be asked again
    lookups: int = 0
    kept: tuple[tuple[int, int], int, int] | None = None  # what the kernel's cache of its bytes was read from
    children: dict[bytes, Node] = field(default_factory=dict)

    @property
    def gone(self) -> bool:
        """Whether the name means another file by now, or none."""
        return self.parent is not None and self.parent.children.get(self.name) is not self

    @property
    def path(self) -> bytes:
        """The place in the volume; ESTALE where there is none any more."""
        names: list[bytes] = []
        node = self
        while node.parent is not None:
            if node.gone:
                raise OSError(errno.ESTALE, "replaced")
            names.append(node.name)
            node = node.parent
        return b"/".join(reversed(names))


class Nodes:
    """The nodes of one volume, and steps that were told ahead of being asked."""

    def __init__(self, root: Attributes) -> None:
        self.root = Node(ROOT, None, b"", root, until=time.monotonic() + VALID)
        self._by_number = {ROOT: self.root}
        self._next = ROOT + 1
        self._known: dict[bytes, tuple[float, Step]] = {}

    def get(self, number: int) -> Node:
        """The node of a number that the kernel was told."""
        node = self._by_number.get(number)
        if node is None:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return node

    def learn(self, steps: list[Step]) -> None:
        """Remember what was told, for the questions that follow at once."""
        until = time.monotonic() + VALID
        if len(self._known) > MOST_KNOWN:
            self._known.clear()
        for step in steps:
            self._known[step.path] = until, step

    def known(self, path: bytes) -> Step | None:
        """What was told a moment ago."""
        until, step = self._known.get(path, (0.0, None))
        return step if until > time.monotonic() else None

    def changed(self) -> None:
        """We changed something: believe nothing that was told ahead."""
        self._known.clear()

    def entered(self, parent: Node, name: bytes, step: Step) -> Node:
        """The node of a name that is there, which the kernel is about to be told."""
        assert step.attributes is not None
        node = parent.children.get(name)
        if node is not None and (
            node.seen.identity != step.attributes.identity or node.seen.mode >> 12 != step.attributes.mode >> 12
        ):
            self.left(node)
            node = None
        if node is None:
            node = Node(self._next, parent, name, step.attributes)
            self._next += 1
            self._by_number[node.number] = parent.children[name] = node
        node.seen, node.target, node.until = step.attributes, step.target, time.monotonic() + VALID
        node.lookups += 1
        return node

    def left(self, node: Node) -> None:
        """Its name means it no longer; open files of it live on."""
        if node.parent is not None and node.parent.children.get(node.name) is node:
            del node.parent.children[node.name]

    def moved(self, node: Node, parent: Node, name: bytes) -> None:
        """It has another name, in place of what had it."""
        self.left(node)
        there = parent.children.get(name)
        if there is not None:
            self.left(there)
        node.parent, node.name = parent, name
        parent.children[name] = node

    def forget(self, number: int, lookups: int) -> None:
        """The kernel no longer uses what it was told so many times."""
        node = self._by_number.get(number)
        if node is None or node.parent is None:
            return
        node.lookups -= lookups
        while node is not None and node.parent is not None and node.lookups <= 0 and not node.children:
            # A folder may be forgotten before what is in it: then its last child takes it along.
            self._by_number.pop(node.number, None)
            self.left(node)
            node = node.parent
