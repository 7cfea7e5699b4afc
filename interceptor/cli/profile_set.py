"""`interceptor profile set`: options in, `session.profile_set` run, exit status out."""

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

import click

from interceptor.cli.options import Seconds, access_options, verbose_option
from interceptor.session.options import Access

if TYPE_CHECKING:
    from interceptor.session.profile_plan import ProfileSetOptions

LONGEST = 24 * 3600.0
_WINDOW = (2.0, 600.0)


class Timeout(Seconds):
    """A time, or `none`."""

    name = "timeout"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Nothing is 0."""
        return 0.0 if value in ("none", "off") else super().convert(value, param, ctx)


class Long(Seconds):
    """A time that may have hours."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """As Seconds, and `2h`."""
        if isinstance(value, str) and value.endswith("h") and value[:-1].isdigit():
            return int(value[:-1]) * 3600.0
        return super().convert(value, param, ctx)


@click.command(
    "set",
    short_help="Change a route's timeout or retries for a time, and watch what it does.",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit status: 0 when the time is up and all is as before; 1 error, 2 wrong usage, 130 Ctrl-C, 143 SIGTERM.",
)
@click.argument("service", metavar="SVC")
@click.option("--route", metavar="ROUTE", required=True, help="By name, or as METHOD /path: 'GET /books/{id}'.")
@click.option("--timeout", type=Timeout(), metavar="TIME", help="For a whole request: 300ms, 2s; none for none.")
@click.option("--retries", type=click.IntRange(0, 100), metavar="N", help="How often a failed request is tried again.")
@click.option(
    "--retry-on", metavar="ANSWERS", default="", help="What is tried again: 5xx, gateway-error, 503, 500-504."
)
@click.option(
    "--budget", metavar="SHARE", help="At most this share of requests on top as retries: 20%. ServiceProfiles only."
)
@click.option(
    "--for", "lasts", type=Long(), default=0.0, metavar="TIME", help="Take it back after: 10m.  [default: at Ctrl-C]"
)
@click.option(
    "--window", type=Seconds(), default=10.0, metavar="TIME", help="Compare figures over: 10s, 1m.  [default: 10s]"
)
@click.option("--dry-run", is_flag=True, help="Show the change, checked by the API server; change nothing.")
@click.option("--yes", is_flag=True, help="Don't ask.")
@click.option("--force-conflicts", is_flag=True, help="Also fields that another controller owns, for the time.")
@click.option("--no-guard", "guard", is_flag=True, flag_value=False, default=True,
              help="Without a pod that takes the change back should this program be killed.")  # fmt: skip
@click.option("--guard-image", metavar="IMAGE", default="", help="Python 3.10 or newer.  [default: python:3.13-slim]")
@click.option("--cluster-domain", "domain", metavar="NAME", default="", help="The cluster's DNS domain.")
@access_options
@click.option(
    "-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True,
    help="Words on stderr, or one JSON object a line on stdout.",
)  # fmt: skip
@verbose_option
@click.pass_context
def set_(ctx: click.Context, /, output: str, **typed: Any) -> int:
    """Change what SVC's callers get on one route, and show it beside what they got before.

    The change is shown and asked for first. It is taken back, exactly, when the time is up, on Ctrl-C, by
    `profile undo` from anywhere, and by a guard in the cluster when this program is killed.

    \b
      interceptor profile set svc/books --route "GET /books/{id}" --timeout 300ms --for 10m
      interceptor profile set svc/books --route "GET /books" --retries 2 --retry-on 5xx --yes
    """
    options = read_options(ctx, **typed)
    from interceptor.cli.ask import questioner
    from interceptor.cli.report import open_teller
    from interceptor.cli.running import run

    with open_teller(output) as teller:

        def begin() -> Coroutine[Any, Any, int]:
            from interceptor.session.profile_set import set_profile

            return set_profile(options, teller, questioner(output))

        return run(begin, teller)


def read_options(
    ctx: click.Context,
    *,
    service: str,
    route: str,
    timeout: float | None,
    retries: int | None,
    retry_on: str,
    budget: str | None,
    lasts: float,
    window: float,
    dry_run: bool,
    yes: bool,
    force_conflicts: bool,
    guard: bool,
    guard_image: str,
    domain: str,
    **access: Any,
) -> "ProfileSetOptions":
    """Check what can be checked before anything is asked."""
    if timeout is None and retries is None and not retry_on and budget is None:
        raise click.UsageError("nothing to set: --timeout, --retries, --retry-on or --budget", ctx)
    if timeout and not 0.001 <= timeout <= LONGEST:
        raise click.UsageError("--timeout takes 1ms to 24h, or none", ctx)
    if retries == 0 and retry_on:
        raise click.UsageError("--retry-on names what is tried again, and --retries 0 tries nothing again", ctx)
    if lasts and not 1.0 <= lasts <= LONGEST:
        raise click.UsageError("--for takes 1s to 24h", ctx)
    if not _WINDOW[0] <= window <= _WINDOW[1]:
        raise click.UsageError(f"--window takes {_WINDOW[0]:.0f}s to {_WINDOW[1] / 60:.0f}m", ctx)
    if guard_image and not guard:
        raise click.UsageError("--guard-image and --no-guard exclude each other", ctx)
    from interceptor.mesh.profile import units
    from interceptor.mesh.profile.edit import Wanted
    from interceptor.session.profile_plan import ProfileSetOptions

    wanted = Wanted(route, timeout, retries, retry_on, units.ratio(budget) if budget is not None else None)
    return ProfileSetOptions(
        service, wanted, lasts, dry_run, yes, guard, guard_image, force_conflicts, window, domain, Access(**access)
    )
