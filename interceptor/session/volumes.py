"""The container's volumes for COMMAND: served by FUSE in its sandbox, else copied; `intercept` and `run` open one.

volumes = Volumes(tunnels.open_files, chosen, write=False, tell=...)
group.create_task(volumes.serve())
spec = Spec(..., mounts=await volumes.mounts())          in a sandbox
async with open_namespace(spec, volumes.on_fuse): ...
environ["INTERCEPTOR_ROOT"] = await volumes.copies()     without one
"""

from __future__ import annotations

import asyncio
import os
import stat
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from interceptor.sandbox.files.choice import Chosen, choose, read_wish, volumes_of
from interceptor.sandbox.files.copies import SMALL, Copies, TooLarge
from interceptor.sandbox.files.readahead import Budget
from interceptor.sandbox.files.remote import Opener, RemoteFiles
from interceptor.sandbox.files.server import FuseServer
from interceptor.sandbox.folder import where
from interceptor.sandbox.spec import Mount, MountKind
from interceptor.session.events import Event, Teller
from interceptor.session.options import HomeOptions
from interceptor.session.tunnels import Tunnels
from interceptor.swap import SwapPlan
from interceptor.wire.files import Root

Tell = Callable[[str], None]
OnEnd = Callable[[Exception], None]
DEVICE = "/dev/fuse"


def machine_folders() -> list[str]:
    """What stays this machine's: where COMMAND starts, home, temporary files, interpreters."""
    folders = [where(), os.path.expanduser("~"), "/tmp", sys.prefix, sys.base_prefix]  # noqa: S108  a name, not a file
    folders += [os.environ[name] for name in ("TMPDIR", "VIRTUAL_ENV", "CONDA_PREFIX") if os.environ.get(name)]
    return list(dict.fromkeys(folder for folder in folders if folder.startswith("/")))


def has_fuse(device: str = DEVICE) -> bool:
    """Whether this user may open the device; the child of the sandbox will."""
    try:
        os.close(os.open(device, os.O_RDWR | os.O_CLOEXEC))
    except OSError:
        return False
    return True


@asynccontextmanager
async def open_volumes(
    options: HomeOptions, tunnels: Tunnels, pod: Mapping[str, Any], swap: SwapPlan, teller: Teller, on_end: OnEnd
) -> AsyncIterator[Volumes]:
    """The volumes of the container in `pod`, as `--mount` wants them. Raises UsageError. A failure later goes to `on_end`."""

    def tell(text: str) -> None:
        teller.tell(Event("note", text))

    wish = read_wish(options.mounts, where())
    chosen, notes = choose(volumes_of(pod, swap.container, swap.mount_path), wish, machine_folders())
    for note in notes:
        tell(note)
    volumes = Volumes(tunnels.open_files, chosen, write=wish.write, tell=tell)

    async def serve() -> None:
        try:
            await volumes.serve()
        except Exception as error:  # not the group's end: COMMAND's comes first, and the undo
            on_end(error)

    async with asyncio.TaskGroup() as group:
        serving = group.create_task(serve(), name="serve the volumes")
        try:
            yield volumes
        finally:
            serving.cancel()


class Volumes:
    """The volumes that were chosen, as long as `serve` runs."""

    def __init__(self, opener: Opener, chosen: Sequence[Chosen], *, write: bool, tell: Tell) -> None:
        self.chosen = list(chosen)
        self._write = write
        self._tell = tell
        self._remote = RemoteFiles(opener, [one.volume.path for one in chosen], write=write)
        self._budget = Budget()
        self._roots: list[Root] = []
        self._by_target: dict[str, int] = {}
        self._group: asyncio.TaskGroup | None = None
        self._begun = asyncio.Event()
        self._stack = AsyncExitStack()
        self.served_by_fuse = False

    async def serve(self) -> None:
        """Keep the pod's files at hand until cancelled; then copies are removed and mounts answer no more."""
        if not self.chosen:
            self._begun.set()
            await asyncio.get_running_loop().create_future()
        async with self._stack, asyncio.TaskGroup() as self._group:
            self._group.create_task(self._remote.serve(), name="files stream")
            self._begun.set()

    async def mounts(self) -> tuple[Mount, ...]:
        """What the sandbox is to mount."""
        if self.chosen and not has_fuse():
            return await self.copied_mounts(f"{DEVICE} may not be opened")
        self.served_by_fuse = bool(self.chosen)
        mounts = []
        for one, root in await self._served():
            assert root.attributes is not None
            folder = stat.S_ISDIR(root.attributes.mode)
            # The name tells in /proc/mounts what this is; a blank in it would end it there.
            name = f"interceptor:{one.volume.path.replace(' ', '_')}"
            mounts.append(Mount(MountKind.FUSE, one.target, name, read_only=not root.writable, folder=folder))
        return tuple(mounts)

    async def copied_mounts(self, why: str) -> tuple[Mount, ...]:
        """The same without FUSE."""
        self.served_by_fuse = False
        text = f"{why}: volumes are copied as they are now, up to {SMALL >> 20} MiB each"
        self._tell(f"{text}; interceptor doctor says how to have them whole")
        found = await self._served()
        copies = await self._copy(found)
        places = [(one.target, copies.place(one.volume.path)) for one, _ in found]
        return tuple(
            Mount(MountKind.BIND, target, str(place), read_only=not self._write)
            for target, place in places
            if place.exists()
        )

    def on_fuse(self, target: str, descriptor: int) -> None:
        """Serve a mount that the sandbox has made."""
        assert self._group is not None
        number = self._by_target[target]
        attributes = self._roots[number].attributes
        assert attributes is not None
        server = FuseServer(descriptor, self._remote, number, attributes, self._budget)
        self._group.create_task(server.serve(), name=f"volume {target}")

    async def copies(self) -> str:
        """A folder that holds the volumes as they are now, at their paths below it."""
        found = await self._served()
        return str((await self._copy(found)).folder)

    async def _served(self) -> list[tuple[Chosen, Root]]:
        """The volumes that the pod gives, the others told."""
        await self._begun.wait()
        if not self.chosen:
            return []
        if not self._roots:
            self._roots = await self._remote.roots()
        found = []
        for number, (one, root) in enumerate(zip(self.chosen, self._roots, strict=True)):
            self._by_target[one.target] = number
            if root.errno:
                self._tell(f"volume {one.volume.path} can't be read in the pod: {os.strerror(root.errno)}")
            else:
                found.append((one, root))
        return found

    async def _copy(self, found: Sequence[tuple[Chosen, Root]]) -> Copies:
        copies = await self._stack.enter_async_context(Copies())
        for one, root in found:
            path, number = one.volume.path, self._by_target[one.target]
            assert root.attributes is not None
            try:
                await copies.copy(self._remote, number, path, root.attributes, whole=one.named)
            except TooLarge:
                self._tell(
                    f"volume {path} has more than {SMALL >> 20} MiB or many files: not copied; --mount {path} copies it"
                )
                continue
            except OSError as error:
                self._tell(f"volume {path} could not be copied whole: {error.strerror or error}")
                continue
            if self._group is not None:
                self._group.create_task(copies.follow(self._remote, number, path), name=f"follow {path}")
        if self._write:
            self._tell("--mount rw needs FUSE: what COMMAND writes into a copy stays on this machine")
        return copies
