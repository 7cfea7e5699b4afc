"""Many sessions one after the other in one process: nothing grows, here or in the cluster."""

import asyncio
import gc
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import pytest

from e2e.scene import LONG, Scene
from interceptor.session.events import Event
from interceptor.session.intercept import intercept
from interceptor.session.options import Access, InterceptOptions

CYCLES = 100 if LONG else 9
PART = max(3, CYCLES // 4)  # after so many cycles everything that is loaded or kept once is there
MEMORY = 6_000  # kilobytes by which the last may differ: what an allocator keeps apart, no leak of a session's size


class Ready:
    """A Teller that ends the session as soon as it is ready."""

    def __init__(self) -> None:
        self.event = asyncio.Event()

    def tell(self, event: Event) -> None:
        if event.name == "ready":
            self.event.set()

    @contextmanager
    def busy(self, text: str) -> Iterator[None]:
        yield

    def shared(self) -> AbstractContextManager[None]:
        return nullcontext()


@dataclass(frozen=True)
class Size:
    """What this process holds."""

    memory: int
    files: int
    tasks: int
    objects: int

    @classmethod
    def now(cls) -> "Size":
        gc.collect()
        status = Path("/proc/self/status").read_text()
        return cls(
            int(status.split("VmRSS:")[1].split()[0]), len(os.listdir("/proc/self/fd")), len(asyncio.all_tasks()),
            len(gc.get_objects()),
        )  # fmt: skip


async def cycle(options: InterceptOptions) -> None:
    """One session, from its start to ready and to its end."""
    ready = Ready()
    async with asyncio.timeout(120), asyncio.TaskGroup() as group:
        session = group.create_task(intercept(options, ready), name="session")
        waiting = group.create_task(ready.event.wait(), name="until ready")
        await asyncio.wait([session, waiting], return_when=asyncio.FIRST_COMPLETED)
        if not session.done():
            session.cancel()
        waiting.cancel()


@pytest.mark.timeout(CYCLES * 30 + 120)
def test_cycles_leave_nothing(scene: Scene) -> None:
    scene.echo()
    local = scene.local()
    access = Access(kubeconfig=str(scene.kubectl.kubeconfig), namespace=scene.namespace)
    options = InterceptOptions("deploy/echo", ports=(f"{local.port}:8080",), access=access)
    before = scene.fingerprint()
    sizes: list[Size] = []

    async def run() -> None:
        for _ in range(CYCLES):
            await cycle(options)
            sizes.append(Size.now())

    asyncio.run(run())
    scene.expect_same(before)
    # The least of a few: a connection of the pool that is just being closed is no growth.
    first, last = least(sizes[PART : 2 * PART]), least(sizes[-PART:])
    scene.measured(
        f"{CYCLES} sessions: memory {first.memory} -> {last.memory} kB, {last.files} files, {last.tasks} tasks"
    )
    assert last.files <= first.files, sizes
    assert last.tasks == first.tasks == 1, sizes
    assert last.objects < first.objects * 1.02, sizes
    assert last.memory - first.memory < MEMORY, sizes


def least(sizes: list[Size]) -> Size:
    return Size(
        min(s.memory for s in sizes), min(s.files for s in sizes), min(s.tasks for s in sizes),
        min(s.objects for s in sizes),
    )  # fmt: skip
