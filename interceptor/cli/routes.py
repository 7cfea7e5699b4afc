"""`interceptor routes`: figures by route; options in, `session.routes` asked, a table or JSON out."""

import json
import sys
from collections.abc import Coroutine
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from interceptor.cli.figures import check_figures, figures_options, show_rows
from interceptor.cli.lines import Lines
from interceptor.cli.options import access_options, verbose_option
from interceptor.session.options import Access

if TYPE_CHECKING:
    from interceptor.cli.routes_table import Baseline
    from interceptor.mesh.sources.model import Table
    from interceptor.mesh.sources.saved import Saved
    from interceptor.session.routes import RoutesOptions


@click.command(
    short_help="Show success, rate and latency by route.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.argument("target")
@click.option("--to", metavar="SVC", default="", help="What TARGET asks of this service, instead of what it is asked.")
@click.option(
    "--from", "caller", metavar="WORKLOAD", default="", help="Only what this workload asks of TARGET, a service."
)
@figures_options
@click.option(
    "--save", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Keep the figures in FILE."
)
@click.option(
    "--compare", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    help="Show those of FILE beside, and what differs.",
)  # fmt: skip
@access_options
@click.option(
    "-o", "--output", type=click.Choice(["table", "wide", "json"]), default="table", show_default=True,
    help="Wide has actual beside effective figures, bytes, timeouts and retries.",
)  # fmt: skip
@verbose_option
@click.pass_context
def routes(
    ctx: click.Context,
    /,
    output: str,
    window: float,
    source: str | None,
    save: Path | None,
    compare: Path | None,
    **typed: Any,
) -> int:
    """Show the figures of TARGET by route, from the best source there is; the last lines say which.

    Where TARGET is intercepted from this machine, that is the intercept itself, and the cluster's figures from before
    the swap stand beside. Else its mesh's proxies are asked twice, --window apart, or a Prometheus in the cluster.

    \b
      interceptor routes deploy/orders
      interceptor routes deploy/web --to svc/orders -o wide
      interceptor routes orders -w --window 10s
      interceptor routes orders --save before.json; interceptor routes orders --compare before.json
    """
    options = read_options(ctx, window=window, source=source, **typed)
    from interceptor.cli.report import open_teller
    from interceptor.cli.running import run

    with open_teller("text") as teller:

        def begin() -> Coroutine[Any, Any, int]:
            return _print(options, output, save, compare)

        return run(begin, teller)


def read_options(
    ctx: click.Context,
    *,
    target: str,
    to: str,
    caller: str,
    window: float,
    watch: bool,
    source: str | None,
    prometheus: str,
    **access: Any,
) -> "RoutesOptions":
    """Check what can be checked before anything is asked."""
    check_figures(ctx, window=window, source=source, prometheus=prometheus)
    if to and caller:
        raise click.UsageError("--to and --from exclude each other", ctx)
    from interceptor.session.routes import RoutesOptions

    return RoutesOptions(target, to, caller, window, watch, source or "", prometheus, Access(**access))


async def _print(options: "RoutesOptions", output: str, save_to: Path | None, compare_with: Path | None) -> int:
    from interceptor.mesh.sources.saved import save
    from interceptor.session.routes import measure

    lines = Lines(sys.stdout)
    outbound = bool(options.to or options.caller)
    saved = None if compare_with is None else _load(compare_with, outbound=outbound)
    async with aclosing(measure(options)) as tables:
        async for table in tables:
            baseline = baseline_of(table, compare_with, saved)
            show(table, lines, output=output, outbound=outbound, again=options.watch, baseline=baseline)
            if save_to is not None:
                save(save_to, table, outbound=outbound)
            if lines.stream is None:
                break
    return 0


def _load(path: Path, *, outbound: bool) -> "Saved":
    from interceptor.errors import InterceptorError
    from interceptor.mesh.sources.model import INBOUND, OUTBOUND
    from interceptor.mesh.sources.saved import load

    saved = load(path)
    wanted = OUTBOUND if outbound else INBOUND
    if saved.direction != wanted:
        raise InterceptorError(
            f"{path} has {saved.direction} figures, these are {wanted}", hint="add or drop --to, --from"
        )
    return saved


def baseline_of(table: "Table", path: Path | None, saved: "Saved | None") -> "Baseline | None":
    """What to show beside: the file's figures, else the cluster's from before the swap."""
    from interceptor.cli.routes_table import Baseline

    local = table.before is not None or bool(table.no_before)
    now = "local" if local else "cluster"
    if saved is not None:
        other = "" if saved.table.title == table.title else f" of {saved.table.title}"
        return Baseline(saved.table, now, "saved", f"{path}{other}, saved {saved.at}, {saved.table.source}")
    if table.before is not None:
        return Baseline(table.before, now, "cluster", f"before the swap, {table.before.source}")
    return None


def show(
    table: "Table",
    lines: Lines,
    *,
    output: str,
    outbound: bool,
    again: bool,
    baseline: "Baseline | None" = None,
) -> None:
    """Print one table."""
    from interceptor.cli.routes_table import footer, json_rows, text_table

    if output == "json":
        document = json_rows(table, outbound=outbound, baseline=baseline)
        lines.line(json.dumps(document, indent=None if again else 2, ensure_ascii=False))
        return
    rows = text_table(table, outbound=outbound, wide=output == "wide", baseline=baseline)
    show_rows(rows, ("", *footer(table, baseline)), lines, again=again)
