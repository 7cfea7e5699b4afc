"""`interceptor intercept` (and `kubectl intercept`): options in, `session.intercept` run, exit status out."""

import ipaddress
import re
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

import click

from interceptor.cli.command import (
    SessionCommand,
    agent_options,
    check_env_file,
    env_file_option,
    metrics_option,
    output_option,
    read_access,
    read_command,
    run_command,
)
from interceptor.cli.options import (
    Port,
    Seconds,
    access_options,
    complete_target,
    home_options,
    read_home,
    verbose_option,
)
from interceptor.session.options import InterceptOptions

if TYPE_CHECKING:
    from interceptor.session.events import Teller

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(rf"(?=.{{1,253}}$){_LABEL}(?:\.{_LABEL})*\.?")


@click.command(
    cls=SessionCommand,
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
@agent_options
@click.option(
    "--hold", type=Seconds(), default=10.0, metavar="SECONDS",
    help="How long a request waits for the local process to listen.  [default: 10]",
)  # fmt: skip
@env_file_option
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
@metrics_option
@access_options
@output_option
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

    def begin(teller: "Teller") -> Coroutine[Any, Any, int]:
        from interceptor.session.intercept import intercept as run_session

        return run_session(options, teller, questioner(output))

    return run_command(options.command, begin, output)


def read_options(ctx: click.Context, **typed: Any) -> InterceptOptions:
    """Check what can be checked without a cluster, and put it in order for the session."""
    access, home = read_access(ctx, typed), read_home(typed)
    options = InterceptOptions(command=read_command(ctx), access=access, home=home, **typed)
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
    check_env_file(ctx, options.env_file)
    return options


def is_host(text: str) -> bool:
    """Tell whether `text` is an address or may be a host's name."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return _HOST.fullmatch(text) is not None
    return True
