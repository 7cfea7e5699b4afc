"""What `routes` and `stat` share: over how long, from which source, and rows whose colour says how well it goes."""

import sys
from collections.abc import Callable, Iterable
from typing import Any

import click

from interceptor.cli.lines import Lines
from interceptor.cli.look import Look
from interceptor.cli.options import Seconds

LONGEST_WINDOW = 600.0
POOR, BAD = 0.999, 0.95  # success rates below which a row is worth a look


def figures_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Say what is asked, and for how long; `check_figures` says whether it can be."""
    for option in (
        click.option("--prometheus", metavar="URL", default="", help="Ask the Prometheus at this address."),
        click.option(
            "--source", type=click.Choice(["session", "proxies", "prometheus"]), default=None,
            help="Ask only this: intercepts on this machine, the mesh's proxies, or Prometheus.",
        ),
        click.option("-w", "--watch", is_flag=True, help="Show them anew every few seconds, until Ctrl-C."),
        click.option(
            "-t", "--window", type=Seconds(), default=30.0, metavar="TIME",
            help="Count what came within this time: 10s, 5m.  [default: 30s]",
        ),
    ):  # fmt: skip
        command = option(command)
    return command


def check_figures(ctx: click.Context, *, window: float, source: str | None, prometheus: str) -> None:
    """Refuse what can't be asked."""
    if not 1.0 <= window <= LONGEST_WINDOW:
        raise click.UsageError(f"--window takes 1s to {LONGEST_WINDOW / 60:.0f}m", ctx)
    if prometheus and source not in (None, "prometheus"):
        raise click.UsageError(f"--prometheus does not go with --source {source}", ctx)


def show_rows(rows: Iterable[tuple[str, float | None]], footer: Iterable[str], lines: Lines, *, again: bool) -> None:
    """Print rows, each with its success rate, and what is to be known; on a terminal `again` in place of the last."""
    look = Look.of(sys.stdout)
    if again and look.terminal:
        lines.write("\x1b[H\x1b[2J")
    for text, success in rows:
        colour = None
        if look.colour and success is not None and success < POOR:
            colour = "red" if success < BAD else "yellow"
        lines.line(click.style(text, fg=colour) if colour else text)
    for text in footer:
        lines.line(text)
