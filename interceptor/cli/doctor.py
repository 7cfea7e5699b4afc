"""`interceptor doctor`: says which home COMMAND gets on this machine; `sandbox.doctor` finds out."""

import json
import sys
from typing import TYPE_CHECKING

import click

from interceptor.cli.options import verbose_option

if TYPE_CHECKING:
    from interceptor.sandbox.doctor import Report

_MARKS = {"good": "✓", "lacking": "✗", "unknown": "?"}
_PLAIN = {"good": "+", "lacking": "x", "unknown": "?"}
_MODES = {
    ("namespace", "fuse"): "COMMAND gets a sandbox: the pod's network, names and files are all it sees",
    ("namespace", "copies"): "COMMAND gets a sandbox: the pod's network and names; its volumes as copies",
    ("proxy", "folder"): "COMMAND stays on this machine: the pod's network by proxy variables, copies of its volumes in "
    "the folder INTERCEPTOR_ROOT",
}  # fmt: skip


@click.command(
    short_help="Say which kind of sandbox this machine allows, and how to get a better one.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="Format.")
@verbose_option
def doctor(output: str) -> int:
    """Try what a sandbox needs, here and now, and say what COMMAND gets. Asks no cluster and changes nothing.

    Exit status 0: the best there is. 1: there is a better one, and what to type for it is said.
    """
    import asyncio

    from interceptor.sandbox.doctor import examine

    report = asyncio.run(examine())
    if output == "json":
        click.echo(json.dumps(_fields(report), indent=2))
    else:
        for line in _lines(report):
            click.echo(line)
    return 0 if report.best else 1


def _fields(report: "Report") -> dict[str, object]:
    return {
        "mode": report.mode,
        "volumes": report.volumes,
        "best": report.best,
        "findings": [
            {"name": one.name, "state": one.state, "text": one.text, "hint": one.hint} for one in report.findings
        ],
    }


def _lines(report: "Report") -> list[str]:
    from interceptor.cli.look import Look

    marks = _MARKS if Look.of(sys.stdout).marks else _PLAIN
    lines = []
    for one in report.findings:
        lines.append(f"{marks[one.state]} {one.name:<10}  {one.text}")
        if one.hint:
            lines.append(f"  {'':<10}  type: {one.hint}")
    return [*lines, "", _MODES[report.mode, report.volumes]]
