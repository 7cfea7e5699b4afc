"""Asks Linkerd viz's tap API and reads what it answers, again and again while it breaks; `viztap` begins it.

The answer's head comes with the first event only, so a silent workload and a tap that works look the same: what is not
refused within STANDS is taken to work. Nothing tells a workload without callers from a connection that died, or from
pods that were all exchanged for others; so after a long silence it is asked anew, and sees the pods there are by then.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from interceptor.errors import InterceptorError
from interceptor.kube import ApiError, Cluster, Forbidden, Resource, Unauthorized, Unreachable
from interceptor.kube.errors import Call
from interceptor.kube.resources import LINKERD_TAP
from interceptor.kube.retry import backoff
from interceptor.mesh.traffic.filters import Filter
from interceptor.mesh.traffic.record import Record
from interceptor.mesh.viztap.joined import Joined, Limit
from interceptor.mesh.viztap.messages import Frames, RequestInit, TapError, TapEvent, read, tap_request
from interceptor.mesh.viztap.protobuf import Malformed
from interceptor.session.events import Event, Teller
from interceptor.session.reading import Records

STANDS = 1.0
SILENCE = 300.0
GIVE_UP = 60.0  # seconds of trying anew
TICK = 1.0
QUIET = 10.0  # seconds between two notes on a pod's limit
_ERROR_HEADER = "linkerd-error"
_ROLE = "linkerd-linkerd-viz-tap-admin"  # as viz installs it in its usual namespace


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked: the requests of a workload's pods, at most so many a second of all of them."""

    namespace: str
    resource: Resource
    name: str
    wanted: Filter
    secrets: bool
    rps: int
    pods: int

    @property
    def kind(self) -> str:
        """As Linkerd names it."""
        return self.resource.kind.lower()

    @property
    def each(self) -> int:
        """How many a second each pod shows: the server gives each its share, and none less than one."""
        return max(1, self.rps // self.pods)

    @property
    def path(self) -> str:
        """Where it is asked. The server wants body and path to say the same; its plurals are kinds with an s."""
        return f"/apis/{LINKERD_TAP}/watch/namespaces/{self.namespace}/{self.kind}s/{self.name}/tap"

    @property
    def call(self) -> Call:
        """The right that is needed, in RBAC's words."""
        return Call("watch", Resource(LINKERD_TAP, f"{self.kind}s", "Tap"), self.namespace, self.name, "tap")

    @property
    def body(self) -> bytes:
        """What the server can choose by is asked of it, as that saves its limit for what is wanted."""
        method = self.wanted.methods[0] if len(self.wanted.methods) == 1 else ""
        path = beginning(self.wanted.paths[0]) if len(self.wanted.paths) == 1 else ""
        return tap_request(self.namespace, self.kind, self.name, method=method, path=path, rps=self.rps)


def beginning(pattern: str) -> str:
    """How each path that fits begins, as far as a proxy compares it: without a query."""
    stop = "*?[" if "*" in pattern else "?"
    return next((pattern[:at] for at, letter in enumerate(pattern) if letter in stop), pattern)


async def read_tap(cluster: Cluster, asked: Asked, teller: Teller) -> AsyncGenerator[Record, None]:
    """Records as their requests end; raises the first refusal, and later what lasts."""
    reader = _Reader(cluster, asked, teller)
    async with asyncio.TaskGroup() as group:
        tasks = (
            group.create_task(reader.run(), name="Linkerd's tap"),
            group.create_task(reader.tick_always(), name="requests that stay open"),
        )
        try:
            while (record := await reader.records.queue.get()) is not None:
                try:
                    yield record
                except GeneratorExit:  # whoever follows has seen enough, which is no error of the group's
                    return
        finally:
            for task in tasks:
                task.cancel()
    if reader.failure is not None:
        raise reader.failure


class _Reader:
    """One tap to its end."""

    def __init__(self, cluster: Cluster, asked: Asked, teller: Teller) -> None:
        self.records = Records()
        self.failure: InterceptorError | None = None
        self._cluster = cluster
        self._asked = asked
        self._teller = teller
        now = time.monotonic()
        self._joined = Joined(asked.wanted, time.time() - now, secrets=asked.secrets)
        self._limit = Limit(asked.each)
        self._limit_told: dict[str, float] = {}
        self._dropped = 0
        self._stands = False  # the present question was not refused
        self._told = False
        self._lost = False
        self._heard = now

    async def run(self) -> None:
        """Read, and ask again what broke."""
        try:
            await self._read_always()
        except InterceptorError as error:
            self.failure = error
        await self.records.queue.put(None)

    async def tick_always(self) -> None:
        """Show what stays open."""
        while True:
            await asyncio.sleep(TICK)
            self._take(self._joined.long_open(time.monotonic()))

    async def _read_always(self) -> None:
        attempt, until = 0, 0.0
        while True:
            problem = await self._until_problem()
            now = time.monotonic()
            self._take(self._joined.break_off(now))
            if self._stands:
                attempt, until = 0, now + GIVE_UP
            if now >= until or isinstance(problem, (Forbidden, Unauthorized)):
                raise problem
            if now - self._heard < SILENCE and not self._lost:  # a silence is no loss
                self._lost = True
                self._teller.tell(Event("lost", f"{problem.message}; asking again"))
            await asyncio.sleep(backoff(attempt))
            attempt += 1

    async def _until_problem(self) -> InterceptorError:
        """Ask once, and read to the end, which always is a problem."""
        self._stands = False
        self._heard = time.monotonic()
        standing = asyncio.get_running_loop().call_later(STANDS, self._tell_standing)
        try:
            await self._ask()
        except Forbidden as error:
            error.hint = f"{error.hint}; Linkerd's own ClusterRole for it: {_ROLE}".lstrip("; ")
            return error
        except (ApiError, Unreachable, _Refused) as error:
            return error
        except Malformed as error:
            return InterceptorError(f"Linkerd's tap API answers what is no event: {error}")
        finally:
            standing.cancel()
        return InterceptorError("Linkerd's tap API ended its answer")

    async def _ask(self) -> None:
        asked = self._asked
        async with self._cluster.post(asked.path, asked.call, asked.body, silence=SILENCE) as answer:
            failed = _ERROR_HEADER in answer.headers
            frames = Frames()
            async for piece in answer.pieces:
                self._heard = now = time.monotonic()
                for frame in frames.feed(piece):
                    message = read(frame)
                    if isinstance(message, TapError):
                        raise _Refused(message.text)
                    if failed:
                        raise Malformed("an event instead of its error")
                    self._tell_standing()
                    self._event(message, now)

    def _event(self, event: TapEvent, now: float) -> None:
        record = self._joined.event(event, now)
        if record is not None:
            self._take([record])
        if isinstance(event.what, RequestInit):
            own = event.destination if event.direction == "inbound" else event.source
            pod = own.labels.get("pod") or own.host
            if self._limit.reached(pod, now) and now - self._limit_told.get(pod, float("-inf")) > QUIET:
                self._limit_told[pod] = now
                self._tell_limit(pod)

    def _take(self, records: list[Record]) -> None:
        for record in records:
            record["dropped"] = self._dropped + self._joined.forgotten
            if not self.records.take(record):
                self._dropped += 1

    def _tell_standing(self) -> None:
        """It works, as far as can be known."""
        if self._stands:
            return
        self._stands = True
        asked = self._asked
        if not self._told:
            self._told = True
            text = (
                f"from Linkerd viz's tap: the requests at {asked.pods} pod{'s' if asked.pods > 1 else ''} of {asked.kind}"
                f" {asked.name}, at most {asked.rps} new ones a second"
                f"{f' ({asked.each} a pod)' if asked.pods > 1 else ''}; Ctrl-C ends it"
            )
            details = {"source": "linkerd-viz", "pods": asked.pods, "max_rps": asked.rps}
            self._teller.tell(Event("ready", text, details=details))
        elif self._lost:
            self._teller.tell(Event("ready", "Linkerd viz's tap is back"))
        self._lost = False

    def _tell_limit(self, pod: str) -> None:
        text = (
            f"pod {pod} shows no more than {self._asked.each} requests a second, and there may have been more;"
            " narrow it with --method or --path, or raise it with --max-rps"
        )
        self._teller.tell(Event("note", text, details={"pod": pod, "limit": self._asked.each}))


class _Refused(InterceptorError):
    """The tap API's own words."""

    def __init__(self, text: str) -> None:
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        super().__init__(f"Linkerd's tap API refuses: {'; '.join(lines)[:512]}")
