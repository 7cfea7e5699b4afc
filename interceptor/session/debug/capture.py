"""Packets of the pods into one local file, or to a program that reads our output, until Ctrl-C; `run` calls it.

One tcpdump a pod, on every interface of it: under a mesh the plain requests are on `lo`, between proxy and app. Each writes
to its `exec` stream, never to a file or a log in the cluster, and ends when its standard input does: at the end of ours,
or of this program, however that comes.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from interceptor.errors import InterceptorError
from interceptor.kube import ContainerStream, ExecFailed
from interceptor.kube.execute import STDOUT
from interceptor.session.debug import terminal
from interceptor.session.debug.pcap import NotPcap, PcapReader, file_header
from interceptor.session.debug.place import ALIVE_EVERY, Place
from interceptor.session.events import Event, Teller

# tcpdump alone would outlive its stream until it writes the next packet. It may not have the standard input itself, and what
# a shell starts in the background ignores SIGINT.
_UNTIL_END = """exec 3<&0
"$@" </dev/null &
it=$!
(cat <&3; kill -TERM $it) >/dev/null 2>&1 &
wait $it
"""
FINISH_WITHIN = 5.0  # seconds for tcpdump to write what it holds
_WORDS_LIMIT = 16 * 1024  # of what one tcpdump says
_LISTENING = "listening on"


def tcpdump(filter_: str) -> list[str]:
    """Every packet whole, as soon as it is seen, without asking anybody for names."""
    words = ["tcpdump", "-i", "any", "-n", "-U", "-s", "0", "-w", "-"]
    return ["sh", "-c", _UNTIL_END, "sh", *words, *([filter_] if filter_ else [])]


@dataclass(slots=True)
class Counts:
    """What came of it so far; `dropped` is what the kernels had no room for, as tcpdump says at its end."""

    packets: int = 0
    bytes: int = 0
    dropped: int = 0


class Sink:
    """The file, or our standard output. Whole packets only; the first ones say which sort they all are."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._writing = asyncio.Lock()
        self._link_type: int | None = None
        self.counts = Counts()
        self.closed = asyncio.Event()  # nobody reads any more

    async def add(self, link_type: int, packets: Sequence[bytes]) -> None:
        """Write some packets; the first call also writes the head of the file."""
        async with self._writing:
            if self._link_type is None:
                self._link_type = link_type
                await self._write(file_header(link_type))
            if link_type != self._link_type:
                raise InterceptorError("the pods' packets are of different sorts", hint="choose one with --pod")
            await self._write(b"".join(packets))
            self.counts.packets += len(packets)
            self.counts.bytes += sum(map(len, packets))

    async def _write(self, data: bytes) -> None:
        if self.closed.is_set():
            return
        try:
            await terminal.write(self._descriptor, data)
        except BrokenPipeError:
            self.closed.set()


@dataclass(slots=True)
class _Dump:
    """One pod's tcpdump."""

    place: Place
    listening: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    stream: ContainerStream | None = None
    said: str = ""
    error: InterceptorError | None = None

    @property
    def last_words(self) -> str:
        """What tcpdump said last that is no mere report."""
        lines = [line.removeprefix("tcpdump: ").strip() for line in self.said.splitlines()]
        telling = [line for line in lines if line and _LISTENING not in line and "link-type" not in line]
        return telling[-1] if telling else ""

    @property
    def dropped(self) -> int:
        """How many packets the kernel had no room for."""
        for line in self.said.splitlines():
            count, _, rest = line.strip().partition(" ")
            if rest.startswith("packet") and rest.endswith("dropped by kernel") and count.isdigit():
                return int(count)
        return 0


async def capture(places: Sequence[Place], file: str, filter_: str, teller: Teller) -> int:
    """Capture until cancelled, until nobody reads any more, or until the last pod is gone."""
    async with _opened(file) as descriptor:
        sink = Sink(descriptor)
        dumps = [_Dump(place) for place in places]
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(_follow(dump, sink, tcpdump(filter_)), name=f"capture {dump.place.pod}")
                for dump in dumps
            ]
            try:
                await _until_listening(dumps)
                _tell_begin(dumps, file, teller)
                try:
                    await _until_over(dumps, sink, teller)
                finally:  # cancelled too: this is how it ends
                    await _finish(dumps)
                    _tell_end(dumps, sink, file, teller)
            finally:
                for task in tasks:
                    task.cancel()  # where the pod's side could not be told to end
    errors = [dump.error for dump in dumps if dump.error is not None]
    if errors and not sink.closed.is_set():
        raise errors[0]
    return 0


@asynccontextmanager
async def _opened(file: str) -> AsyncIterator[int]:
    if file == "-":
        if os.isatty(terminal.STDOUT):
            raise InterceptorError(
                "packets are no text for a terminal", hint="pipe them on: --capture - | wireshark -k -i -"
            )
        sys.stdout.flush()
        yield terminal.STDOUT
        return
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)  # it may hold secrets
    except OSError as error:
        raise InterceptorError(f"can't write {file}: {error.strerror}") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


async def _follow(dump: _Dump, sink: Sink, command: Sequence[str]) -> None:
    """One pod's packets, to the end of its tcpdump; how that came is kept in `dump`."""
    reader = PcapReader()
    try:
        async with dump.place.stream(command) as stream:
            dump.stream = stream
            while (piece := await stream.receive()) is not None:
                channel, data = piece
                if channel != STDOUT:
                    dump.said = (dump.said + data.decode(errors="replace"))[-_WORDS_LIMIT:]
                    if _LISTENING in dump.said:
                        dump.listening.set()
                    continue
                packets = list(reader.feed(data))
                if reader.link_type is not None:
                    await sink.add(reader.link_type, packets)
            code = stream.exit_code()
        if code == 127 or "not found" in dump.last_words:
            dump.error = dump.place.lacks("tcpdump", ExecFailed("executable file not found"))
        elif code:
            dump.error = _why(dump, filtered=command[-1] != "-")
    except NotPcap as error:
        dump.error = InterceptorError(f"tcpdump in pod {dump.place.pod} writes no packets: {error}")
    except ExecFailed as error:
        dump.error = dump.place.lacks("sh", error)
    except InterceptorError as error:
        dump.error = error
    finally:
        dump.stream = None
        dump.over.set()
        dump.listening.set()


def _why(dump: _Dump, *, filtered: bool) -> InterceptorError:
    words = dump.last_words or "no reason given"
    hint = ""
    if "permission" in words.lower() or "not permitted" in words.lower():
        hint = "capturing needs NET_RAW: --profile netadmin, in a namespace that allows it"
    elif filtered:  # tcpdump has many words for what is wrong with one
        hint = "a filter is written as in `tcp port 8080 and host 10.0.0.7`: see man pcap-filter"
    return InterceptorError(f"can't capture in pod {dump.place.pod}: {words}", hint=hint)


async def _until_listening(dumps: Sequence[_Dump]) -> None:
    for dump in dumps:
        await dump.listening.wait()
    failed = [dump.error for dump in dumps if dump.over.is_set() and dump.error is not None]
    if failed:
        raise failed[0]


async def _until_over(dumps: Sequence[_Dump], sink: Sink, teller: Teller) -> None:
    """Until nobody reads any more, or no pod is left to capture in."""
    async with asyncio.TaskGroup() as group:
        ends = [group.create_task(_tell_lost(dump, teller), name=f"end of {dump.place.pod}") for dump in dumps]
        alive = group.create_task(_stay(dumps), name="signs of life")
        reading = group.create_task(sink.closed.wait(), name="reader of the packets")
        every = group.create_task(_all(ends), name="end of all captures")
        await asyncio.wait([reading, every], return_when=asyncio.FIRST_COMPLETED)
        for task in (alive, reading, every, *ends):
            task.cancel()


async def _all(tasks: Sequence[asyncio.Task[None]]) -> None:
    await asyncio.wait(tasks)


async def _tell_lost(dump: _Dump, teller: Teller) -> None:
    await dump.over.wait()
    if dump.error is not None:
        teller.tell(Event("lost", f"no more packets of pod {dump.place.pod}: {dump.error.message}"))


async def _stay(dumps: Sequence[_Dump]) -> None:
    while True:
        await asyncio.sleep(ALIVE_EVERY)
        for dump in dumps:
            if dump.stream is not None:
                await dump.stream.send(b"\n")


async def _finish(dumps: Sequence[_Dump]) -> None:
    """Have each tcpdump write what it holds and end. Where the protocol can't say so, the container's end does."""
    closing = [dump for dump in dumps if dump.stream is not None and dump.stream.closes_stdin]
    for dump in closing:
        if dump.stream is not None:
            await dump.stream.close_stdin()
    try:
        async with asyncio.timeout(FINISH_WITHIN):
            for dump in closing:
                await dump.over.wait()
    except TimeoutError:
        return  # some pod's side is stuck; what came so far is whole


def _tell_begin(dumps: Sequence[_Dump], file: str, teller: Teller) -> None:
    pods = [dump.place.pod for dump in dumps]
    where = "standard output" if file == "-" else file
    text = f"packets of {_words(pods)} go to {where}; Ctrl-C ends it"
    teller.tell(Event("ready", text, details={"pods": pods, "file": file}))


def _tell_end(dumps: Sequence[_Dump], sink: Sink, file: str, teller: Teller) -> None:
    counts = sink.counts
    counts.dropped = sum(dump.dropped for dump in dumps)
    text = f"{counts.packets} packets ({counts.bytes} bytes) of {_words([dump.place.pod for dump in dumps])}"
    if counts.dropped:
        text += f"; the kernel dropped {counts.dropped}: a narrower --filter helps"
    details: dict[str, object] = {"packets": counts.packets, "bytes": counts.bytes, "dropped": counts.dropped}
    teller.tell(Event("note", text, details=details | {"file": file}))


def _words(pods: Sequence[str]) -> str:
    return f"pod {pods[0]}" if len(pods) == 1 else f"{len(pods)} pods ({', '.join(pods)})"
