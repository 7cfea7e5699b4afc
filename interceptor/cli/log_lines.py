"""How proxies' levels and logs look: a table and merged lines with a colour for each pod, or JSON; `cli.log_level` opens one.

A thread writes: whoever reads our output may stop reading (a pager), and then the levels must still be put back in time. So
many lines wait for it at most; then the pods' logs are read no further, and nothing is lost.
"""

import asyncio
import contextlib
import json
import queue
import sys
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

import click

from interceptor.cli.lines import Lines
from interceptor.cli.look import Look
from interceptor.cli.table import lines as table_lines
from interceptor.kube.logs import LogLine
from interceptor.mesh.loglevel.model import Back
from interceptor.mesh.loglevel.proxies import Level
from interceptor.mesh.loglevel.record import Change
from interceptor.session.events import Event
from interceptor.session.log_level import LogLevelOptions

MOST_WAITING = 2000  # lines
_FLUSH_TIME = 2.0
_AT_ONCE = 200
_COLOURS = (
    "cyan",
    "yellow",
    "green",
    "magenta",
    "blue",
    "bright_cyan",
    "bright_yellow",
    "bright_green",
    "bright_magenta",
)


class Writer:
    """Lines to stdout by a thread of their own."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._room = asyncio.Semaphore(MOST_WAITING)
        self._waiting: queue.SimpleQueue[tuple[str, bool] | None] = queue.SimpleQueue()
        self._lines = Lines(sys.stdout)
        # A daemon: one that is stuck in a write must not keep the program from ending.
        self._thread = threading.Thread(target=self._write, name="write lines", daemon=True)
        self._thread.start()

    def put(self, text: str) -> None:
        """One of a few lines."""
        self._waiting.put((text, False))

    async def put_in_turn(self, text: str) -> None:
        """One of very many: returns when there is room."""
        await self._room.acquire()
        self._waiting.put((text, True))

    async def close(self) -> None:
        """See everything written, if somebody reads it."""
        self._waiting.put(None)
        await asyncio.to_thread(self._thread.join, _FLUSH_TIME)

    def _write(self) -> None:
        over = False
        while not over:
            batch = [self._waiting.get()]
            with contextlib.suppress(queue.Empty):  # what else is there goes out in the same write
                while len(batch) < _AT_ONCE:
                    batch.append(self._waiting.get_nowait())
            over = None in batch
            items = [item for item in batch if item is not None]
            self._lines.write("".join(f"{text}\n" for text, _ in items))
            with contextlib.suppress(RuntimeError):  # the loop is over: nobody waits for room
                self._loop.call_soon_threadsafe(self._release, sum(in_turn for _, in_turn in items))

    def _release(self, count: int) -> None:
        for _ in range(count):
            self._room.release()


class _Sink:
    """What both have in common."""

    def __init__(self, options: LogLevelOptions) -> None:
        self._options = options
        self._writer = Writer()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._writer.close()


class TextSink(_Sink):
    """For people."""

    def __init__(self, options: LogLevelOptions, tell: Callable[[Event], None]) -> None:
        super().__init__(options)
        self._tell = tell
        self._look = Look.of(sys.stdout)
        self._colours: dict[str, str] = {}
        self._titled = False
        self._width = 0

    def levels(self, workload: str, namespace: str, levels: Sequence[Level]) -> None:
        """See Sink."""
        changed = bool(self._options.level)
        rows = [_row(level, changed) for level in sorted(levels, key=lambda level: level.sidecar.pod)]
        title = (
            [("POD", "PROXY", "BEFORE", "NOW") if changed else ("POD", "PROXY", "LEVEL")] if not self._titled else []
        )
        for text in table_lines([*title, *rows]):
            self._writer.put(text)
        for level in levels:
            if level.problem is not None:
                self.note(f"pod {level.sidecar.pod}: {level.problem}")
        said = {level.admin.warning(level.now or level.before) for level in levels if level.problem is None}
        for text in sorted(said - {""}):
            self.note(text)
        if not self._titled and self._options.passing:
            self.note(_until(self._options))
        self._titled = True

    async def line(self, pod: str, line: LogLine) -> None:
        """See Sink."""
        self._width = max(self._width, len(pod))
        name = f"{pod:<{self._width}}"
        if self._look.colour:
            colour = self._colours.setdefault(pod, _COLOURS[len(self._colours) % len(_COLOURS)])
            name = click.style(name, fg=colour)
        clock = line.stamp.partition("T")[2][:12]
        await self._writer.put_in_turn(f"{name} {clock} {plain(line.text)}")

    def back(self, change: Change, back: Back) -> None:
        """See Sink."""
        pod = change.sidecar.pod
        if back.outcome == "theirs":
            self.note(f"pod {pod}: somebody else has set {back.now} meanwhile, and that stays")
        elif back.outcome == "back" and not back.exact:
            self.note(f"pod {pod}: the level is written as {back.now} now, and was {change.before}")
        elif back.outcome == "back":
            self._tell(Event("restored", f"the log level of pod {pod} is as it was"))

    def note(self, text: str) -> None:
        """See Sink."""
        self._tell(Event("note", text))


class JsonSink(_Sink):
    """For scripts: one object a line, `event` first."""

    def levels(self, workload: str, namespace: str, levels: Sequence[Level]) -> None:
        """See Sink."""
        changed = bool(self._options.level)
        pods = [
            {
                "pod": level.sidecar.pod,
                "proxy": level.sidecar.mesh,
                "port": level.sidecar.port,
                "level": level.now if changed else (level.before or None),
                "before": (level.before or None) if changed else None,
                "warning": (level.admin.warning(level.now or level.before) or None) if level.problem is None else None,
                "problem": level.problem.message if level.problem else None,
                "hint": (level.problem.hint or None) if level.problem else None,
            }
            for level in sorted(levels, key=lambda level: level.sidecar.pod)
        ]
        self._put("set" if changed else "levels", workload=workload, namespace=namespace, pods=pods)

    async def line(self, pod: str, line: LogLine) -> None:
        """See Sink."""
        fields = {"event": "log", "pod": pod, "time": line.stamp or None, "text": line.text}
        await self._writer.put_in_turn(json.dumps(fields, ensure_ascii=False))

    def back(self, change: Change, back: Back) -> None:
        """See Sink."""
        self._put("back", pod=change.sidecar.pod, outcome=back.outcome, level=back.now or None, exact=back.exact)

    def note(self, text: str) -> None:
        """See Sink."""
        self._put("note", text=text)

    def _put(self, event: str, **fields: Any) -> None:
        self._writer.put(json.dumps({"event": event, **fields}, ensure_ascii=False))


def plain(text: str) -> str:
    """A line of a log without what a terminal would obey: what is in it came from callers."""
    return "".join(c if c.isprintable() or c == "\t" else f"\\x{ord(c):02x}" for c in text)


def _row(level: Level, changed: bool) -> tuple[str, ...]:
    where = level.sidecar.pod, level.sidecar.mesh
    before = level.admin.short(level.before) if level.before else "-"
    if not changed:
        return *where, before
    return *where, before, level.admin.short(level.now) if level.now is not None else "-"


def _until(options: LogLevelOptions) -> str:
    end = f"in {_duration(options.seconds)}, or at Ctrl-C" if options.seconds else "at Ctrl-C"
    return f"the levels are put back {end}" if options.level else f"the logs end {end}"


def _duration(seconds: float) -> str:
    return f"{seconds / 60:g} min" if seconds >= 120 else f"{seconds:g} s"
