"""A debug container that runs: where the errands of `capture`, `connections`, `dns` and `terminal` start their commands.

`container` makes one; `run` hands it out. It lives as long as this end holds it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from interceptor.errors import InterceptorError
from interceptor.kube import Cluster, ContainerStream, ExecResult
from interceptor.workload.debugger import GREETING

START_WITHIN = 60.0  # seconds for a program in it, where the node is slow
ALIVE_EVERY = 30.0  # seconds between two signs of life on a connection that says nothing else: balancers forget it else
_MISSING = ("executable file not found", "no such file or directory")
NOT_FOUND = 127


class NoSuchProgram(InterceptorError):
    """The image has no such program."""

    exit_status = NOT_FOUND


@dataclass(frozen=True)
class Place:
    """A container in a pod that commands may be started in."""

    cluster: Cluster
    namespace: str
    pod: str
    container: str
    image: str

    def stream(
        self, command: Sequence[str], *, stdin: bool = True, tty: bool = False
    ) -> AbstractAsyncContextManager[ContainerStream]:
        """Start a command, both ways for as long as it lasts."""
        return self.cluster.stream(self.namespace, self.pod, self.container, command, stdin=stdin, tty=tty)

    async def run(self, command: Sequence[str], *, within: float) -> ExecResult:
        """Run a command to its end."""
        return await self.cluster.exec(self.namespace, self.pod, self.container, command, timeout=within)

    def lacks(self, program: str, error: InterceptorError) -> InterceptorError:
        """The error of a command that did not start: what to do where the image has no such program."""
        if any(words in error.message for words in _MISSING):
            hint = "name an image that has it with --image; images/debug of the project builds one with all of them"
            return NoSuchProgram(f"image {self.image} has no {program}", hint=hint)
        return error


@asynccontextmanager
async def held(place: Place, *, alone: bool = True) -> AsyncIterator[Place]:
    """Hold the container's standard input open: it ends when this context does, or this program.

    Where it is the only one (`alone`), its own end is an error.
    """
    attached = place.cluster.stream(place.namespace, place.pod, place.container)
    async with attached as stream, asyncio.TaskGroup() as group:
        await stream.send(GREETING)
        holding = [
            group.create_task(_until_it_ends(stream, place, alone=alone), name=f"hold {place.pod}"),
            group.create_task(_stay(stream), name=f"signs of life to {place.pod}"),
        ]
        try:
            yield place
        finally:
            for task in holding:
                task.cancel()
            await stream.close_stdin()


async def _until_it_ends(stream: ContainerStream, place: Place, *, alone: bool) -> None:
    """Its first process writes nothing and ends after us, so the end of the connection is bad news."""
    while await stream.receive() is not None:
        pass
    if not alone:
        return  # the errand goes on with the others, and says which one is lost
    raise InterceptorError(
        f"the debug container in pod {place.pod} is gone: the pod, its node or the connection ended",
        hint="run the same command again",
    )


async def _stay(stream: ContainerStream) -> None:
    while True:
        await asyncio.sleep(ALIVE_EVERY)
        await stream.send(b"\n")
