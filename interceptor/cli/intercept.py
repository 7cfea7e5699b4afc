"""`interceptor intercept` (and `kubectl intercept`): options in, `session.intercept` run, exit status out."""

import ipaddress
import re
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from interceptor.cli.options import (
    Port,
    Seconds,
    access_options,
    complete_target,
    home_options,
    read_home,
    verbose_option,
)
from interceptor.session.options import Access, InterceptOptions

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(rf"(?=.{{1,253}}$){_LABEL}(?:\.{_LABEL})*\.?")
COMMAND = "interceptor.command"


class InterceptCommand(click.Command):
    """Everything after the first `--` is COMMAND and reaches it untouched; click parses only what is before."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take COMMAND off before click sees the rest."""
        ctx.meta[COMMAND] = None
        if "--" in args:
            cut = args.index("--")
            args, command = args[:cut], tuple(args[cut + 1 :])
            ctx.meta[COMMAND] = command
            if not command and not ctx.resilient_parsing:
                raise click.UsageError("after -- stands the command to run, but nothing is there", ctx)
        try:
            rest = super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            if ctx.meta[COMMAND] is not None or error.possibilities:
                raise
            text = f"there is no option {error.option_name}; a command and its options stand after --"
            raise click.UsageError(text, ctx) from error
        if rest and not ctx.resilient_parsing:
            words = " ".join(rest)
            raise click.UsageError(f"unexpected {words!r}; type TYPE/NAME for the target, the command after --", ctx)
        return rest

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        """Show COMMAND in the usage line too."""
        return [*super().collect_usage_pieces(ctx), "[-- COMMAND...]"]

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete file names in COMMAND, our options before it."""
        if ctx.meta.get(COMMAND) is not None:
            return [CompletionItem(incomplete, type="file")]
        return super().shell_complete(ctx, incomplete)


@click.command(
    cls=InterceptCommand,
    short_help="Run a workload's traffic on this machine.",
    context_settings={"help_option_names": ["-h", "--help"], "allow_extra_args": True},
    epilog="Exit status: COMMAND's own; without one 0; 1 error, 2 wrong usage, 130 Ctrl-C, 143 SIGTERM.",
)
@click.argument("target", shell_complete=complete_target)
@click.option(
    "-p", "--port", "ports", type=Port(), multiple=True, metavar="[LOCAL:]POD",
    help="The pod's port, a number or a name, and the local one if it differs. Several allowed; without any, "
    "every port of the container.",
)  # fmt: skip
@click.option("--to", "to_host", metavar="HOST", default="127.0.0.1", show_default=True, help="Where requests go.")
@click.option("-c", "--container", metavar="NAME", help="The container, when the pod has several.")
@click.option(
    "--agent-image", metavar="own|IMAGE",
    help="Run the agent in the container's own image, or in IMAGE; either has Python 3.10 or newer.  "
    "[default: own if it has Python, else python:3.13-slim]",
)  # fmt: skip
@click.option(
    "--hold", type=Seconds(), default=10.0, metavar="SECONDS",
    help="How long a request waits for the local process to listen.  [default: 10]",
)  # fmt: skip
@click.option(
    "--env-file", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    help="Write the container's environment there: for the shell, or as JSON if it is named *.json.",
)  # fmt: skip
@click.option(
    "--no-guard", "guard", is_flag=True, flag_value=False, default=True,
    help="Don't let the agents restore the workload by themselves when this program is gone.",
)  # fmt: skip
@home_options
@click.option(
    "--take-over", count=True,
    help="End the session that holds TARGET, if its client is gone. One that lives too: after a question on a terminal, "
    "without one if given twice.",
)  # fmt: skip
@access_options
@click.option(
    "-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True,
    help="Words on stderr, or one JSON object a line on stdout (COMMAND's stdout then joins stderr).",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Show the patch, the objects and missing rights; change nothing.")
@verbose_option
@click.pass_context
def intercept(ctx: click.Context, /, output: str, **typed: Any) -> int:
    """Run the traffic of TARGET on this machine until COMMAND ends, or Ctrl-C.

    TARGET is deploy/NAME, svc/NAME (also sts, ds, rs, pod) or a bare NAME. Its pods run an agent meanwhile; each
    request that reaches them is served here. Afterwards the workload is as it was, even if this program is killed.

    \b
      interceptor intercept deploy/orders --port 8080 -- python -m orders
      interceptor intercept orders -p 9000:http            (you start the process)
      interceptor intercept orders --dry-run
    """
    options = read_options(ctx, **typed)
    # Imported here, because nothing of it is needed to answer --help or a wrong option.
    from interceptor.cli.ask import questioner
    from interceptor.cli.report import open_teller
    from interceptor.cli.running import run

    with open_teller(output) as teller:

        def begin() -> Coroutine[Any, Any, int]:
            from interceptor.sandbox.process import find_command
            from interceptor.session.intercept import intercept as run_session

            if options.command:
                find_command(options.command)
            return run_session(options, teller, questioner(output))

        return run(begin, teller)


def read_options(
    ctx: click.Context,
    *,
    namespace: str | None,
    context: str | None,
    kubeconfig: str | None,
    as_user: str | None,
    as_groups: tuple[str, ...],
    **typed: Any,
) -> InterceptOptions:
    """Check what can be checked without a cluster, and put it in order for the session."""
    if as_groups and not as_user:
        raise click.UsageError("--as-group needs --as USER", ctx)
    access = Access(kubeconfig, context, namespace, as_user, as_groups)
    home = read_home(typed)
    options = InterceptOptions(command=ctx.meta[COMMAND] or (), access=access, home=home, **typed)
    if not options.target or options.target.count("/") > 1 or "" in options.target.split("/"):
        raise click.UsageError(f"{options.target!r} is not a target; type TYPE/NAME or NAME", ctx)
    if not is_host(options.to_host):
        raise click.UsageError(
            f"--to takes a host name or an address, not {options.to_host!r}; a port stands in --port LOCAL:POD", ctx
        )
    pods = [port.rpartition(":")[2] for port in options.ports]
    twice = next((pod for pod in pods if pods.count(pod) > 1), None)
    if twice:
        raise click.UsageError(f"the pod's port {twice} is given twice", ctx)
    if options.agent_image is not None and (not options.agent_image or re.search(r"\s", options.agent_image)):
        raise click.UsageError(f"--agent-image takes own or an image, not {options.agent_image!r}", ctx)
    if options.env_file is not None and not options.env_file.absolute().parent.is_dir():
        raise click.UsageError(f"--env-file: there is no folder {options.env_file.absolute().parent}", ctx)
    return options


def is_host(text: str) -> bool:
    """Tell whether `text` is an address or may be a host's name."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return _HOST.fullmatch(text) is not None
    return True
