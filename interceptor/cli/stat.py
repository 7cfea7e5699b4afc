"""`interceptor stat`: figures by workload; options in, `session.stat` asked, a table or JSON out."""

import json
import sys
from collections.abc import Coroutine
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import click

from interceptor.cli.lines import Lines
from interceptor.cli.options import Seconds, access_options, all_namespaces_option, complete_target, verbose_option
from interceptor.session.options import Access

if TYPE_CHECKING:
    from interceptor.session.stat import Look, StatOptions

LONGEST_WINDOW = 600.0


@click.command(
    short_help="Show success, rate, latency and connections by workload.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.argument("targets", nargs=-1, metavar="[TARGET]...", shell_complete=complete_target)
@all_namespaces_option
@click.option("-t", "--window", type=Seconds(), default=30.0, metavar="TIME", help="Over so long.  [default: 30s]")
@click.option("-w", "--watch", is_flag=True, help="Again and again, until Ctrl-C.")
@click.option(
    "--source", type=click.Choice(["session", "proxies", "prometheus"]), default=None,
    help="Ask only this: intercepts on this machine, the mesh's proxies, or Prometheus.",
)  # fmt: skip
@click.option("--prometheus", metavar="URL", default="", help="Ask the Prometheus at this address.")
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
    if not 1.0 <= window <= LONGEST_WINDOW:
        raise click.UsageError(f"--window takes 1s to {LONGEST_WINDOW / 60:.0f}m", ctx)
    if prometheus and source not in (None, "prometheus"):
        raise click.UsageError(f"--prometheus does not go with --source {source}", ctx)
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
    """Print one look; on a terminal, the next one in its place."""
    from interceptor.cli.look import Look as Terminal
    from interceptor.cli.routes_table import BAD, POOR
    from interceptor.cli.stat_table import footer, json_rows, text_table

    if output == "json":
        indent = None if options.watch else 2
        lines.line(json.dumps(json_rows(look.rows), indent=indent, ensure_ascii=False))
        for text in look.unknown:
            click.echo(f"unknown: {text}", err=True)
        return
    terminal = Terminal.of(sys.stdout)
    if options.watch and terminal.terminal:
        lines.write("\x1b[H\x1b[2J")
    if not look.rows:
        lines.line("no workloads")
    else:
        for text, success in text_table(look.rows, namespaces=options.all_namespaces, wide=output == "wide"):
            colour = None
            if terminal.colour and success is not None and success < POOR:
                colour = "red" if success < BAD else "yellow"
            lines.line(click.style(text, fg=colour) if colour else text)
        lines.line("")
    for text in footer(look):
        lines.line(text)
