"""`interceptor tap`: requests as they pass; options in, `session.tap` followed, lines or JSON out."""

import asyncio
import contextlib
import json
import re
import shutil
import sys
from collections.abc import Coroutine, Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from interceptor.cli.lines import Lines
from interceptor.cli.options import Seconds, access_options, verbose_option
from interceptor.errors import InterceptorError
from interceptor.session.options import Access

if TYPE_CHECKING:
    from interceptor.session.tap import TapOptions

Record = dict[str, Any]

RECORDED_BODY = 64 * 1024  # bytes of each body in a recording
LARGEST_FILE = 1024 * 1024 * 1024  # bytes of a recording


@click.command(
    short_help="Show requests as they pass an intercepted workload.",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Ends with the intercept, after --max requests, or by Ctrl-C.",
)
@click.argument("target", required=False)
@click.option("--method", "methods", multiple=True, metavar="METHOD", help="Only these methods.")
@click.option(
    "--path", "paths", multiple=True, metavar="PATH", help="Only paths that begin so, or match a pattern with *."
)
@click.option("--status", "statuses", multiple=True, metavar="STATUS", help="Only 404, 5xx, 500-503, or error.")
@click.option(
    "--header", "headers", multiple=True, metavar="NAME=VALUE", help="Only with this request header; * matches."
)
@click.option(
    "--min-latency", type=Seconds(), default=0.0, metavar="TIME", help="Only answers that took so long: 200ms."
)
@click.option("--from", "callers", multiple=True, metavar="CALLER", help="Only from a workload, a pod or an address.")
@click.option("--trace", "traces", multiple=True, metavar="ID", help="Only of this trace; its first digits are enough.")
@click.option("--direction", type=click.Choice(["inbound", "outbound"]), help="Only what callers ask, or COMMAND asks.")
@click.option("--max", "most", type=click.IntRange(1), metavar="N", help="End after N requests.")
@click.option("--headers", "show_headers", is_flag=True, help="Show the headers of each request and answer.")
@click.option("--show-secrets", is_flag=True, help="Show credentials, cookies and tokens instead of ***.")
@click.option(
    "--record", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    help="Write the requests with their bodies to FILE.har or FILE.jsonl, for replay.",
)  # fmt: skip
@access_options
@click.option(
    "-o", "--output", type=click.Choice(["text", "json", "curl", "har"]), default="text", show_default=True,
    help="A table, one JSON object a line, curl commands, or one HAR document at the end.",
)  # fmt: skip
@verbose_option
@click.pass_context
def tap(ctx: click.Context, /, output: str, record: Path | None, show_headers: bool, **typed: Any) -> int:
    """Show the requests that pass TARGET while it is intercepted from this machine.

    Without TARGET, of the only intercept that runs. Run it in another terminal, beside the intercept.

    \b
      interceptor tap deploy/orders
      interceptor tap orders --status 5xx --headers
      interceptor tap orders --from deploy/web --min-latency 200ms -o json
    """
    options = read_options(ctx, record=record, **typed)
    from interceptor.cli.report import open_teller
    from interceptor.cli.running import run

    # Words go to stderr; the requests are the output and have stdout to themselves.
    with open_teller("text") as teller:

        def begin() -> Coroutine[Any, Any, int]:
            return _follow(options, output, show_headers, record)

        return run(begin, teller)


def read_options(
    ctx: click.Context,
    *,
    target: str | None,
    methods: tuple[str, ...],
    paths: tuple[str, ...],
    statuses: tuple[str, ...],
    headers: tuple[str, ...],
    min_latency: float,
    callers: tuple[str, ...],
    direction: str | None,
    traces: tuple[str, ...],
    most: int | None,
    show_secrets: bool,
    record: Path | None,
    **access: Any,
) -> "TapOptions":
    """Check what can be checked before anything is asked."""
    from interceptor.mesh.traffic.filters import Filter
    from interceptor.session.tap import TapOptions

    pairs = []
    for header in headers:
        name, equals, value = header.partition("=")
        if not equals or not name:
            raise click.UsageError(f"--header takes NAME=VALUE, not {header!r}", ctx)
        pairs.append((name.lower(), value))
    traces = tuple(map(str.lower, traces))
    for trace in traces:
        if not re.fullmatch("[0-9a-f]{1,32}", trace):
            raise click.UsageError(f"--trace takes a trace's id, or its first digits, not {trace!r}", ctx)
    if record is not None and record.suffix not in (".har", ".jsonl"):
        raise click.UsageError(f"--record writes FILE.har or FILE.jsonl, not {record.name!r}", ctx)
    try:
        wanted = Filter(
            tuple(map(str.upper, methods)), paths, statuses, tuple(pairs), min_latency, direction or "", traces
        )
    except InterceptorError as error:
        raise click.UsageError(f"--status: {error}", ctx) from error
    bodies = RECORDED_BODY if record is not None else 0
    return TapOptions(target, wanted, callers, most or 0, show_secrets, bodies, Access(**access))


async def _follow(options: "TapOptions", output: str, headers: bool, record: Path | None) -> int:
    from interceptor.session.tap import follow

    with _recording(record) as recording:
        printer = _Printer(output, headers)
        try:
            async with asyncio.TaskGroup() as group:
                ticking = group.create_task(printer.tick_always(), name="tick")
                async with aclosing(follow(options)) as records:
                    async for one in records:
                        if recording is not None and one["stage"] == "ended":
                            recording.add(one)
                        printer.add(one)
                        if printer.unread:
                            break
                ticking.cancel()
        finally:
            printer.close()
    return 0


class _Printer:
    """One way of showing requests on stdout."""

    def __init__(self, output: str, headers: bool) -> None:
        from interceptor.cli.look import Look
        from interceptor.cli.tap_export import HarWriter
        from interceptor.cli.tap_lines import Screen

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
        from interceptor.cli.tap_export import curl

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


class _Recording:
    """Requests on their way to a file; it stops growing at LARGEST_FILE and says so."""

    def __init__(self, path: Path) -> None:
        from interceptor.cli.tap_export import HarWriter

        self._file = path.open("w", encoding="utf-8")
        self._har = HarWriter(self._file.write) if path.suffix == ".har" else None
        self._full = False

    def add(self, record: Record) -> None:
        """Write one request."""
        if self._full:
            return
        if self._har is not None:
            self._har.add(record)
        else:
            self._file.write(json.dumps(record, ensure_ascii=False) + "\n")
        if self._file.tell() > LARGEST_FILE:
            self._full = True
            click.echo(f"note: the recording has {LARGEST_FILE >> 20} MiB and is full", err=True)

    def close(self) -> None:
        """The file is whole."""
        if self._har is not None:
            self._har.close()
        self._file.close()


@contextmanager
def _recording(path: Path | None) -> Iterator[_Recording | None]:
    if path is None:
        yield None
        return
    try:
        recording = _Recording(path)
    except OSError as error:
        raise InterceptorError(f"can't write {path}: {error.strerror}") from error
    with contextlib.closing(recording):
        yield recording
