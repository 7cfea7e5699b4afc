"""`interceptor profile`: the group, `show` and `undo`; options in, `session.profile` asked, a table or JSON out."""

import json
import sys
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

import click

from interceptor.cli.options import access_options, verbose_option
from interceptor.cli.profile_new import new
from interceptor.cli.profile_set import set_
from interceptor.session.options import Access

if TYPE_CHECKING:
    from interceptor.mesh.profile.rows import Row
    from interceptor.session.profile import Shown

_HELP = {"help_option_names": ["-h", "--help"]}
domain_option = click.option(
    "--cluster-domain", "domain", metavar="NAME", default="", help="The cluster's DNS domain, if it can't be found out."
)


@click.group(short_help="Show and steer timeouts and retries of a service's routes.", context_settings=_HELP)
@verbose_option
def profile() -> None:
    """See which ServiceProfile, HTTPRoute or GRPCRoute is in force for a Service, make one, or change it for a time.

    \b
      interceptor profile show svc/books
      interceptor profile new svc/books --open-api openapi.yaml | kubectl apply -f -
      interceptor profile set svc/books --route "GET /books/{id}" --timeout 300ms --for 10m
    """


@profile.command(
    short_help="Show what holds for each route of a Service, and what disables what.", context_settings=_HELP
)
@click.argument("service", metavar="SVC")
@domain_option
@access_options
@click.option(
    "-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True, help="Table or JSON."
)
@verbose_option
def show(service: str, domain: str, output: str, **access: Any) -> int:
    """Show the routes of SVC (svc/NAME), each with the object it is from, its timeout, retries and budget.

    Routes that another object disables stand at the end, with its name.
    """
    from interceptor.cli.report import open_teller
    from interceptor.cli.running import run
    from interceptor.session.profile import show as ask

    async def print_it() -> int:
        with teller.busy(f"looking at {service}"):
            shown = await ask(Access(**access), service, domain=domain)
        if output == "json":
            print(json.dumps(document(shown), indent=2))
        else:
            print_table(shown)
        return 0

    with open_teller("text") as teller:
        return run(print_it, teller)


@profile.command(short_help="Take back what `profile set` changed.", context_settings=_HELP)
@click.argument("service", metavar="SVC")
@click.option("--force", is_flag=True, help="Also where the client of somebody else, who changed it, lives.")
@access_options
@click.option(
    "-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="Words or JSON."
)
@verbose_option
def undo(service: str, force: bool, output: str, **access: Any) -> int:
    """Put the routes of SVC back as they were, from the record on the changed object: no local state is needed.

    Whoever runs the `profile set` sees it, says so and ends. What others changed meanwhile stays, and is named.
    """
    from interceptor.cli.report import open_teller
    from interceptor.cli.running import run
    from interceptor.session.profile import undo as take_back

    with open_teller(output) as teller:

        def begin() -> Coroutine[Any, Any, int]:
            return take_back(Access(**access), service, teller, force=force)

        return run(begin, teller)


profile.add_command(new)
profile.add_command(set_)


def document(shown: "Shown") -> dict[str, Any]:
    """The JSON, as docs/profiles.md describes it."""
    return {
        "namespace": shown.found.namespace,
        "service": shown.found.name,
        "host": shown.found.host,
        "routes": [_entry(row) for row in shown.rows],
        "changed": [
            {
                "object": row.object,
                "holder": record.holder,
                "since": record.since,
                "until": record.until or None,
                "session": record.session,
            }
            for row, record in shown.changed
        ],
        "notes": shown.notes,
    }


def _entry(row: "Row") -> dict[str, Any]:
    return {
        "name": row.name,
        "route": row.route,
        "object": row.object,
        "kind": row.resource.kind,
        "in_force": not row.shadowed_by,
        "shadowed_by": row.shadowed_by or None,
        "timeout": row.timeout or None,
        "retries": row.retries,
        "retry_on": row.retry_on or None,
        "budget": row.budget or None,
    }


def print_table(shown: "Shown") -> None:
    """For people; words beside the table go to stderr."""
    from interceptor.cli.table import lines

    head = ("ROUTE", "FROM", "TIMEOUT", "RETRIES", "BUDGET", "STATE")
    rows = [
        (
            row.route or row.name,
            row.object,
            row.timeout or "-",
            _retries(row),
            row.budget or "-",
            f"off: {row.shadowed_by}" if row.shadowed_by else "in force",
        )
        for row in shown.rows
    ]
    if rows:
        print("\n".join(lines([head, *rows])))
    else:
        print(
            f"{shown.found.title} has no routes of its own: everything passes, without timeout or retry",
            file=sys.stderr,
        )
    for row, record in shown.changed:
        until = f" until {record.until}" if record.until else ""
        end = f"to take it back: interceptor profile undo {shown.found.title} -n {shown.found.namespace}"
        print(f"{row.object} is changed by {record.holder} since {record.since}{until}; {end}", file=sys.stderr)
    for note in shown.notes:
        print(f"note: {note}", file=sys.stderr)


def _retries(row: "Row") -> str:
    if not row.retried:
        return "-"
    return row.retry_on if row.retries is None else f"{row.retries} on {row.retry_on}"
