"""`interceptor list`: who holds what; options in, `session.holdings` asked, a table or one JSON document out."""

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from interceptor.cli.options import access_options, all_namespaces_option, verbose_option
from interceptor.session.options import Access

if TYPE_CHECKING:
    from collections.abc import Sequence

    from interceptor.session.debug.leftovers import DebugLeft
    from interceptor.session.holding import Holding
    from interceptor.session.holdings import Holdings

_ALIVE = {True: "yes", False: "no", None: "unknown"}


@click.command(
    "list",
    short_help="Show who intercepts what, and what was left behind.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@all_namespaces_option
@access_options
@click.option(
    "-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True, help="Table or JSON."
)
@verbose_option
def list_(all_namespaces: bool, output: str, **access: Any) -> int:
    """Show each intercept: who holds the workload, since when, and whether their client lives.

    A client lives when it renews its Lease while we look, for 2.5 seconds at most. What a session left behind, and
    nobody looks after any more, is shown too, with the command that takes it away.
    """
    from interceptor.cli.report import open_teller
    from interceptor.cli.running import run
    from interceptor.session.access import open_cluster
    from interceptor.session.debug.leftovers import annotated
    from interceptor.session.holdings import find

    async def show() -> int:
        async with open_cluster(Access(**access)) as cluster:
            namespace = None if all_namespaces else cluster.namespace
            with teller.busy("listening for the holders"):
                found = await find(cluster, namespace)
            debugged = await annotated(cluster, namespace)
        if output == "json":
            print(json.dumps(document(found, debugged), indent=2))
        else:
            _print_table(found, namespace)
            for left in debugged:
                where = f"{left.title} -n {left.namespace}"
                text = f"{left.title} has the debug sidecar of {left.holder}; if they are gone: interceptor restore {where}"
                print(text, file=sys.stderr)
        return 0

    with open_teller("text") as teller:
        return run(show, teller)


def document(found: "Holdings", debugged: "Sequence[DebugLeft]" = ()) -> dict[str, Any]:
    """The JSON, as docs/commands.md describes it."""
    fields = ("namespace", "title", "holder", "session")
    return {
        "intercepts": [_entry(one) for one in found.sessions],
        "debugged": [
            {("workload" if name == "title" else name): getattr(one, name) for name in fields} for one in debugged
        ],
        "unknown": found.unknown,
    }


def identity(one: "Holding") -> dict[str, Any]:
    """What is intercepted, and by whom; `status` says it in the same words."""
    return {
        "namespace": one.namespace,
        "workload": one.ref.title if one.ref is not None else None,
        "session": one.session,
        "holder": one.holder or None,
        "since": one.since or None,
    }


def _entry(one: "Holding") -> dict[str, Any]:
    return {
        **identity(one),
        "alive": one.alive,
        "state": one.state,
        "pods": sorted(one.pods),
        "leftover": one.leftover or None,
        "hint": _hint(one) or None,
    }


def _print_table(found: "Holdings", namespace: str | None) -> None:
    from interceptor.cli.table import lines

    for text in found.unknown:
        print(f"not seen: {text}", file=sys.stderr)
    if not found.sessions:
        where = f"namespace {namespace}" if namespace else "any namespace"
        print(f"no intercepts in {where}", file=sys.stderr)
        return
    head = ["WORKLOAD", "HOLDER", "SINCE", "ALIVE", "PODS", "STATE"]
    rows = [head, *([*_row(one)] for one in found.sessions)]
    if namespace is None:
        rows = [[first, *row] for first, row in zip(["NAMESPACE", *_namespaces(found)], rows, strict=True)]
    print("\n".join(lines(rows)))
    for hint in dict.fromkeys(filter(None, map(_hint, found.sessions))):
        print(hint, file=sys.stderr)


def _row(one: "Holding") -> tuple[str, ...]:
    state = f"leftover: {one.leftover}" if one.leftover else one.state
    return one.workload, one.holder or "-", one.since or "-", _ALIVE[one.alive], str(len(one.pods)), state


def _namespaces(found: "Holdings") -> list[str]:
    return [one.namespace for one in found.sessions]


def _hint(one: "Holding") -> str:
    """What to type about it, where something is to be done."""
    if one.alive or one.state in ("held", "starting"):
        return ""
    where = f"-n {one.namespace}"
    if one.swapped:
        return f"to take it back: interceptor restore {one.workload} {where}"
    return f"to remove what was left: interceptor restore --all {where}"
