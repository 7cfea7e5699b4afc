"""`interceptor log-level`: the level of a workload's mesh proxies; options in, `session.log_level` run, lines or JSON out."""

from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

import click

from interceptor.cli.options import Seconds, access_options, complete_target, verbose_option
from interceptor.errors import InterceptorError
from interceptor.session.options import Access

if TYPE_CHECKING:
    from interceptor.session.log_level import LogLevelOptions

LONGEST = 24 * 3600.0


@click.command(
    "log-level",
    short_help="Show or set the log level of a workload's mesh proxies.",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="LEVEL: off, error, warn, info, debug, trace; with targets, as in warn,linkerd=debug (Linkerd) or info,http=debug "
    "(Envoy, Istio); or reset, for how the proxies were started.",
)
@click.argument("target", shell_complete=complete_target)
@click.argument("level", required=False)
@click.option("--for", "seconds", type=Seconds(), default=0.0, metavar="TIME", help="Then set it back: 30s, 10m.")
@click.option("-f", "--follow", is_flag=True, help="Show the proxies' logs until Ctrl-C, then set the level back.")
@click.option("--pod", metavar="POD", default="", help="Only this pod of TARGET.")
@click.option("--admin-port", type=click.IntRange(1, 65535), default=None, metavar="PORT",
              help="The proxies' admin port, if not the mesh's usual one.")  # fmt: skip
@access_options
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True,
              help="A table and lines, or one JSON object a line.")  # fmt: skip
@verbose_option
@click.pass_context
def log_level(ctx: click.Context, /, output: str, **typed: Any) -> int:
    """Show the log level of TARGET's mesh proxies, or set it to LEVEL on all of its pods.

    It is set through port-forwards to the proxies' admin ports: no pod restarts. With --for or --follow it is put back
    exactly as it was when the time is over or at Ctrl-C, on pods that appear meanwhile too; else it stays.

    \b
      interceptor log-level deploy/orders
      interceptor log-level deploy/orders warn,linkerd=debug --for 10m
      interceptor log-level deploy/orders info,http=debug --follow
      interceptor log-level deploy/orders reset
    """
    options = read_options(ctx, **typed)
    from interceptor.cli.report import open_teller
    from interceptor.cli.running import run

    # Words go to stderr; levels and logs are the output and have stdout to themselves.
    with open_teller("text") as teller:

        def begin() -> Coroutine[Any, Any, int]:
            return _run(options, output, teller.tell)

        return run(begin, teller, leave_to="its guard")


def read_options(
    ctx: click.Context,
    *,
    target: str,
    level: str | None,
    seconds: float,
    follow: bool,
    pod: str,
    admin_port: int | None,
    **access: Any,
) -> "LogLevelOptions":
    """Check what can be checked before anything is asked."""
    if seconds and level is None and not follow:
        raise click.UsageError("--for needs a LEVEL to set, or --follow", ctx)
    if seconds > LONGEST:
        raise click.UsageError(f"--for takes at most {LONGEST / 3600:.0f} hours, as {LONGEST / 60:.0f}m", ctx)
    if level is not None:
        from interceptor.mesh.loglevel.syntax import parse

        try:
            parse(level)
        except InterceptorError as error:
            raise click.UsageError(str(error), ctx) from error
    from interceptor.session.log_level import LogLevelOptions

    return LogLevelOptions(target, level or "", seconds, follow, pod, admin_port or 0, Access(**access))


async def _run(options: "LogLevelOptions", output: str, tell: Any) -> int:
    from interceptor.cli.log_lines import JsonSink, TextSink
    from interceptor.session.log_level import log_level as begin

    sink = JsonSink(options) if output == "json" else TextSink(options, tell)
    async with sink:
        return await begin(options, sink)
