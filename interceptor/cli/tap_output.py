"""Where `tap` puts requests: on stdout in one of its ways, and into a file for `replay`."""

import asyncio
import contextlib
import errno
import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import click

from interceptor.cli.lines import Lines
from interceptor.cli.look import Look
from interceptor.cli.tap_export import HarWriter, curl
from interceptor.cli.tap_lines import Screen
from interceptor.errors import InterceptorError

Record = dict[str, Any]

LARGEST_FILE = 1024 * 1024 * 1024  # bytes of a recording


class Printer:
    """One way of showing requests on stdout."""

    def __init__(self, output: str, headers: bool) -> None:
        self._output = output
        self._lines = Lines(sys.stdout)
        look = Look.of(sys.stdout)
        self._colour = look.colour
        width = shutil.get_terminal_size((120, 24)).columns if look.terminal else 140
        self._screen = Screen(width, headers=headers, limited=look.terminal)
        self._har = HarWriter(self._lines.write) if output == "har" else None
        self._dropped = 0
        self._titled = False

    @property
    def unread(self) -> bool:
        """Whether whoever read our stdout has left."""
        return self._lines.stream is None

    def add(self, record: Record) -> None:
        """Show one request, now or summed up with others."""
        self._dropped = max(self._dropped, int(record.get("dropped") or 0))
        if self._har is not None:
            if record["stage"] == "ended":
                self._har.add(record)
        elif self._output == "json":
            self._lines.line(json.dumps(record, ensure_ascii=False))
        elif self._output == "curl":
            self._lines.line(curl(record))
        else:
            if not self._titled:
                self._titled = True
                self._lines.line(self._screen.title())
            self._show(self._screen.add(record))

    async def tick_always(self) -> None:
        """Sum up what could not be shown, every second."""
        while True:
            await asyncio.sleep(1.0)
            self._tick()

    def close(self) -> None:
        """Nothing more comes."""
        self._tick()
        if self._har is not None:
            self._har.close()

    def _tick(self) -> None:
        if self._output == "text":
            self._show(self._screen.tick(self._dropped))

    def _show(self, lines: list[tuple[str, bool]]) -> None:
        for text, failed in lines:
            self._lines.line(click.style(text, fg="red") if failed and self._colour else text)


class Recording:
    """Requests on their way to a file; it stops growing at LARGEST_FILE and says so.

    Begun by the first request: a mistyped target must not cost the recording of yesterday.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: TextIO | None = None
        self._har: HarWriter | None = None
        self._full = False
        self._count = 0

    def check(self) -> None:
        """Raises InterceptorError if the file can't be written."""
        place = self._path if self._path.exists() else self._path.parent
        if not place.exists():
            raise InterceptorError(f"can't write {self._path}: there is no folder {place}")
        if not os.access(place, os.W_OK):
            raise InterceptorError(f"can't write {self._path}: {os.strerror(errno.EACCES)}")

    def add(self, record: Record) -> None:
        """Write one request. Raises InterceptorError."""
        if self._full:
            return
        try:
            if self._file is None:
                self._file = self._path.open("w", encoding="utf-8")
                self._har = HarWriter(self._file.write) if self._path.suffix == ".har" else None
            if self._har is not None:
                self._har.add(record)
            else:
                self._file.write(json.dumps(record, ensure_ascii=False) + "\n")
        except OSError as error:
            raise InterceptorError(f"can't write {self._path}: {error.strerror}") from error
        self._count += 1
        if self._file.tell() > LARGEST_FILE:
            self._full = True
            click.echo(f"note: the recording has {LARGEST_FILE >> 20} MiB and is full", err=True)

    def close(self) -> None:
        """The file is whole."""
        if self._har is not None:
            self._har.close()
        if self._file is not None:
            self._file.close()

    def sum_up(self) -> None:
        """Say what there is now."""
        if self._count:
            click.echo(f"note: {self._count} requests are in {self._path}: interceptor replay {self._path}", err=True)
        else:
            click.echo(f"note: no request came to its end, {self._path} was not written", err=True)


@contextmanager
def recording(path: Path | None) -> Iterator[Recording | None]:
    """A file for `--record`, whole at the end; None where none is wanted."""
    if path is None:
        yield None
        return
    recording = Recording(path)
    recording.check()
    try:
        with contextlib.closing(recording):
            yield recording
    except asyncio.CancelledError:  # Ctrl-C is how most recordings end
        recording.sum_up()
        raise
    recording.sum_up()
