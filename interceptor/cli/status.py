"""`interceptor status`: probes the path of intercepts; options in, `session.status` asked, hops out as a table or JSON."""

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from interceptor.cli.list import identity
from interceptor.cli.options import access_options, all_namespaces_option, complete_target, verbose_option
from interceptor.session.options import Access

if TYPE_CHECKING:
    from interceptor.session.hops import Hop, Report

_STATES = {"ok": "ok", "failed": "FAILED", "skipped": "-"}


@click.command(
    short_help="Probe the whole path of an intercept, and name what fails.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.argument("target", required=False, shell_complete=complete_target)
@all_namespaces_option
@access_options
@click.option(
    "-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="Table or JSON."
)
@verbose_option
@click.pass_context
def status(ctx: click.Context, /, target: str | None, all_namespaces: bool, output: str, **access: Any) -> int:
    """Send a probe along the path of TARGET's intercept, or of every intercept of the namespace.

    The probe calls the pod as a caller would: Service, pod, agent, tunnel, client, local process, and back. It starts
    from here, wherever the client runs. Exit status: 0 if every hop is well, 1 if one fails.
    """
    if target is not None and all_namespaces:
        raise click.UsageError("a TARGET is in one namespace; -A stands without one", ctx)
    from interceptor.cli.report import open_teller
    from interceptor.cli.running import run
    from interceptor.kube import Unreachable
    from interceptor.session.access import open_cluster
    from interceptor.session.status import status as probe

    async def show() -> int:
        async with open_cluster(Access(**access)) as cluster:
            try:
                with teller.busy("probing"):
                    reports = await probe(cluster, target, everywhere=all_namespaces)
            except Unreachable as error:
                if output == "json":
                    hop = {"hop": "API server", "state": "failed", "text": error.message, "hint": error.hint or None}
                    print(json.dumps({"healthy": False, "intercepts": [], "failing": hop}, indent=2))
                raise
            where = "any namespace" if all_namespaces else f"namespace {cluster.namespace}"
        if output == "json":
            print(json.dumps(document(reports), indent=2))
        elif reports:
            print("\n\n".join(map(_text, reports)))
        else:
            print(f"no intercepts in {where}", file=sys.stderr)
        return int(any(report.failing is not None for report in reports))

    with open_teller("text") as teller:
        return run(show, teller)


def document(reports: "list[Report]") -> dict[str, Any]:
    """The JSON, as docs/commands.md describes it."""
    entries = [_entry(report) for report in reports]
    return {"healthy": all(entry["healthy"] for entry in entries), "intercepts": entries}


def _entry(report: "Report") -> dict[str, Any]:
    one, failing = report.holding, report.failing
    return {
        **identity(one),
        "healthy": failing is None,
        "failing": _hop(failing) if failing is not None else None,
        "hops": [_hop(hop) for hop in report.hops],
    }


def _hop(hop: "Hop") -> dict[str, Any]:
    return {
        "hop": hop.name,
        "state": hop.state,
        "text": hop.text,
        "ms": hop.ms,
        "pod": hop.pod or None,
        "hint": hop.hint or None,
    }


def _text(report: "Report") -> str:
    from interceptor.cli.table import lines

    one, failing = report.holding, report.failing
    head = f"{one.workload} in namespace {one.namespace}, held by {one.holder or 'nobody'} since {one.since or '?'}"
    rows = [(_STATES[hop.state], hop.name, _milliseconds(hop), _words(hop)) for hop in report.hops]
    end = "every hop is well"
    if failing is not None:
        end = f"failing hop: {failing.name}: {failing.text}" + (f"; {failing.hint}" if failing.hint else "")
    return "\n".join([head, *lines([("STATE", "HOP", "TIME", "WHAT"), *rows]), end])


def _milliseconds(hop: "Hop") -> str:
    return "-" if hop.ms is None else f"{hop.ms:.1f} ms"


def _words(hop: "Hop") -> str:
    return f"{hop.pod}: {hop.text}" if hop.pod else hop.text
