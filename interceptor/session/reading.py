"""One pod's requests as they come from the program that reads along in it (`agent/capture.py`); `attach` runs one a pod."""

from __future__ import annotations

import asyncio
import base64
import struct
import zlib
from dataclasses import dataclass, field

from interceptor.errors import InterceptorError
from interceptor.kube.execute import STDOUT
from interceptor.mesh.traffic.filters import Filter
from interceptor.mesh.traffic.hub import Hub, Observed, Tap
from interceptor.mesh.traffic.packets import Packets
from interceptor.mesh.traffic.record import INBOUND, Record
from interceptor.session.debug.place import START_WITHIN, Place
from interceptor.session.events import Event, Teller
from interceptor.workload.zipapp import text_of

MOST_UNREAD = 10_000  # records that wait for whoever prints them
SILENT_LIMIT = 30.0  # seconds without a word from a pod: it says one each second
_HEADER = struct.Struct("!dBI")
_PACKET, _DROPPED = 0, 1
_READY = b"reading along"
_LARGEST = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Attached:
    """What to read, and what to show of it."""

    target: str
    image: str | None  # as for an intercept's agent: own, an image, or None for what fits
    wanted: Filter
    secrets: bool
    bodies: int


@dataclass(slots=True)
class Reading:
    """One pod that is read."""

    place: Place
    loopback: bool
    own: tuple[str, ...]
    python: str
    now: float = 0.0
    dropped: int = 0
    said: bytes = b""
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    error: InterceptorError | None = None


class Records:
    """From all pods to the one who prints."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[Record | None] = asyncio.Queue(MOST_UNREAD)

    def take(self, record: Record) -> bool:
        """See `hub.Taker`."""
        if self.queue.full():
            return False
        self.queue.put_nowait(record)
        return True


def capture_command(python: str) -> list[str]:
    """Start the program without a file in the pod; packed, because it is part of a request's address."""
    source = base64.b64encode(zlib.compress(text_of("capture").encode(), 9)).decode()
    program = f"import base64, zlib; exec(compile(zlib.decompress(base64.b64decode({source!r})), 'capture', 'exec'))"
    return [python, "-I", "-c", program]


async def read_along(
    reading: Reading, ports: tuple[int, ...], wanted: Attached, records: Records, teller: Teller
) -> None:
    """One pod to its end; the others go on."""
    try:
        await _read(reading, ports, wanted, records)
    except InterceptorError as error:
        reading.error = error
        teller.tell(Event("lost", error.message, details={"pod": reading.place.pod}))
    finally:
        reading.ready.set()


async def _read(reading: Reading, ports: tuple[int, ...], wanted: Attached, records: Records) -> None:
    """One pod's requests, until its end."""
    hub = Hub(clock=lambda: reading.now, wall=lambda: reading.now)
    hub.wall = 0.0  # its time is the time of day
    tap = Tap(wanted.wanted, records.take, secrets=wanted.secrets, bodies=wanted.bodies)
    hub.taps.append(tap)
    pod = reading.place.pod
    packets = Packets(reading.own, ports, lambda peer, port: Observed(hub, INBOUND, pod, peer, port))
    command = [*capture_command(reading.python), *map(str, ports), *(["lo"] if reading.loopback else [])]
    async with reading.place.stream(command) as stream:
        framed = bytearray()
        loop = asyncio.get_running_loop()
        begin_by = loop.time() + START_WITHIN
        try:
            while True:
                async with asyncio.timeout_at(loop.time() + SILENT_LIMIT if reading.ready.is_set() else begin_by):
                    piece = await stream.receive()
                if piece is None:
                    break
                channel, data = piece
                if channel != STDOUT:
                    reading.said = (reading.said + data)[-4096:]
                    if _READY in reading.said:
                        reading.ready.set()
                    continue
                framed += data
                _unpack(framed, reading, packets, hub, tap)
        except TimeoutError:
            text = f"can't read along in pod {pod}: its program did not begin within {START_WITHIN:.0f} s"
            if reading.ready.is_set():
                text = f"nothing is heard of pod {pod} any more"
            raise InterceptorError(text, hint="run the same command again") from None
        code = stream.exit_code() if stream.ended else 0
    if not reading.ready.is_set() or code:
        raise InterceptorError(f"can't read along in pod {pod}: {_last_words(reading.said) or f'status {code}'}")


def _unpack(framed: bytearray, reading: Reading, packets: Packets, hub: Hub, tap: Tap) -> None:
    """What is whole of the program's output."""
    at = 0
    while len(framed) - at >= _HEADER.size:
        reading.now, kind, size = _HEADER.unpack_from(framed, at)
        if size > _LARGEST:
            raise InterceptorError(f"pod {reading.place.pod} sends what is no packet")
        begin, end = at + _HEADER.size, at + _HEADER.size + size
        if len(framed) < end:
            break
        if kind == _PACKET:
            packets.packet(memoryview(bytes(framed[begin:end])))
        elif kind == _DROPPED:
            (reading.dropped,) = struct.unpack_from("!Q", framed, begin)
            hub.show_open(tap)
        at = end
    del framed[:at]


def _last_words(said: bytes) -> str:
    lines = said.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""
