"""`interceptor tap`: requests as they pass; options in, `session.tap` followed, lines or JSON out."""

import asyncio
import re
from collections.abc import Coroutine
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from interceptor.cli.options import Seconds, access_options, verbose_option
from interceptor.errors import InterceptorError
from interceptor.session.options import Access

if TYPE_CHECKING:
    from interceptor.session.events import Teller
    from interceptor.session.tap import TapOptions

RECORDED_BODY = 64 * 1024  # bytes of each body in a recording


@click.command(
    short_help="Show requests as they pass a workload.",
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
    "--min-latency",
    type=Seconds(),
    default=0.0,
    metavar="TIME",
    help="Only answers that took at least this long: 200ms.",
)
@click.option("--from", "callers", multiple=True, metavar="CALLER", help="Only from a workload, a pod or an address.")
@click.option("--trace", "traces", multiple=True, metavar="ID", help="Only of this trace; its first digits are enough.")
@click.option("--direction", type=click.Choice(["inbound", "outbound"]), help="Only what callers ask, or COMMAND asks.")
@click.option("--max", "most", type=click.IntRange(1), metavar="N", help="End after N requests.")
@click.option("--headers", "show_headers", is_flag=True, help="Show the headers of each request and answer.")
@click.option("--show-secrets", is_flag=True, help="Show credentials, cookies and tokens instead of ***.")
@click.option(
    "--record", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    help="Write the requests, and 64 KiB of each body, to FILE.har or FILE.jsonl, for interceptor replay.",
)  # fmt: skip
@click.option(
    "--max-rps", "rps", type=click.IntRange(1), metavar="N",
    help="If Linkerd's tap shows them: at most so many new requests a second.  [default: 100]",
)  # fmt: skip
@click.option("--attach", is_flag=True, help="If nobody intercepts TARGET, read along in its pods; nothing restarts.")
@click.option(
    "--agent-image", "image", metavar="own|IMAGE",
    help="For --attach: an image with Python 3.10 or newer.  [default: own if it has Python, else python:3.13-slim]",
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

    If nobody intercepts it: from Linkerd's viz where that sees it, or, with --attach, anywhere.

    Without TARGET, of the only intercept that runs. Run it in another terminal, beside the intercept.

    \b
      interceptor tap deploy/orders
      interceptor tap orders --status 5xx --headers
      interceptor tap orders --from deploy/web --min-latency 200ms -o json
      interceptor tap deploy/prices --attach
    """
    options = read_options(ctx, record=record, **typed)
    from interceptor.cli.report import open_teller
    from interceptor.cli.running import run

    # Words go to stderr; the requests are the output and have stdout to themselves.
    with open_teller("text") as teller:

        def begin() -> Coroutine[Any, Any, int]:
            return _follow(options, output, show_headers, record, teller)

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
    rps: int | None,
    attach: bool,
    image: str | None,
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
    if attach and target is None:
        raise click.UsageError("--attach needs a TARGET", ctx)
    if attach and direction == "outbound":
        raise click.UsageError("--attach reads what callers ask; what the workload asks passes an intercept only", ctx)
    if image is not None and not attach:
        raise click.UsageError("--agent-image is for --attach", ctx)
    if attach and rps is not None:
        raise click.UsageError("--max-rps is for Linkerd's tap, which --attach does not ask", ctx)
    bodies = RECORDED_BODY if record is not None else 0
    options = TapOptions(
        target, wanted, callers, most or 0, show_secrets, bodies, attach=attach, image=image, access=Access(**access)
    )
    return options if rps is None else replace(options, rps=rps)


async def _follow(options: "TapOptions", output: str, headers: bool, record: Path | None, teller: "Teller") -> int:
    from interceptor.cli.tap_output import Printer, recording
    from interceptor.session.tap import follow

    with recording(record) as kept:
        printer = Printer(output, headers)
        try:
            async with asyncio.TaskGroup() as group:
                ticking = group.create_task(printer.tick_always(), name="tick")
                async with aclosing(follow(options, teller)) as records:
                    async for one in records:
                        if kept is not None and one["stage"] == "ended":
                            kept.add(one)
                        printer.add(one)
                        if printer.unread:
                            break
                ticking.cancel()
        finally:
            printer.close()
    return 0
