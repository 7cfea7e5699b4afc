"""`interceptor stat`: figures by workload; options in, `session.stat` asked, a table or JSON out."""

import json
import sys
from collections.abc import Coroutine
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import click

from interceptor.cli.figures import check_figures, figures_options, show_rows
from interceptor.cli.lines import Lines
from interceptor.cli.options import access_options, all_namespaces_option, complete_target, verbose_option
from interceptor.session.options import Access

if TYPE_CHECKING:
    from interceptor.session.stat import Look, StatOptions


@click.command(
    short_help="Show success, rate, latency and connections by workload.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.argument("targets", nargs=-1, metavar="[TARGET]...", shell_complete=complete_target)
@all_namespaces_option
@figures_options
@access_options
@click.option(
    "-o", "--output", type=click.Choice(["table", "wide", "json"]), default="table", show_default=True,
    help="Wide has bytes and each workload's source.",
)  # fmt: skip
@verbose_option
@click.pass_context
def stat(
    ctx: click.Context,
    /,
    targets: tuple[str, ...],
    all_namespaces: bool,
    output: str,
    window: float,
    watch: bool,
    source: str | None,
    prometheus: str,
    **access: Any,
) -> int:
    """Show the figures of workloads: how many of their pods are meshed, and what their callers get.

    Without TARGET all of the namespace; a kind (deploy, sts) takes all of it. Each workload's figures come from the best
    source there is for it: an intercept on this machine, its mesh's proxies asked twice, --window apart, or a Prometheus.

    \b
      interceptor stat -A
      interceptor stat deploy/web deploy/orders -o wide
      interceptor stat deploy -w --window 10s
    """
    check_figures(ctx, window=window, source=source, prometheus=prometheus)
    if all_namespaces and any("/" in one for one in targets):
        raise click.UsageError("-A goes with kinds (deploy), not with the name of one workload", ctx)
    from interceptor.cli.report import open_teller
    from interceptor.cli.running import run
    from interceptor.session.stat import StatOptions

    options = StatOptions(targets, all_namespaces, window, watch, source or "", prometheus, Access(**access))
    with open_teller("text") as teller:

        def begin() -> Coroutine[Any, Any, int]:
            return _print(options, output)

        return run(begin, teller)


async def _print(options: "StatOptions", output: str) -> int:
    from interceptor.session.stat import measure

    lines = Lines(sys.stdout)
    async with aclosing(measure(options)) as looks:
        async for look in looks:
            show(look, lines, output=output, options=options)
            if lines.stream is None:
                break
    return 0


def show(look: "Look", lines: Lines, *, output: str, options: "StatOptions") -> None:
    """Print one look."""
    from interceptor.cli.stat_table import footer, json_rows, text_table

    if output == "json":
        indent = None if options.watch else 2
        lines.line(json.dumps(json_rows(look.rows), indent=indent, ensure_ascii=False))
        for text in look.unknown:
            click.echo(f"unknown: {text}", err=True)
        return
    if not look.rows:
        show_rows([("no workloads", None)], footer(look), lines, again=options.watch)
        return
    rows = text_table(look.rows, namespaces=options.all_namespaces, wide=output == "wide")
    show_rows(rows, ("", *footer(look)), lines, again=options.watch)
