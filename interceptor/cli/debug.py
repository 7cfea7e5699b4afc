"""`interceptor debug`: options in, `session.debug` run; a terminal, packets, a table or JSON out."""

import json
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

import click

from interceptor.cli.command import SessionCommand, read_access, read_command
from interceptor.cli.options import access_options, complete_target, verbose_option

if TYPE_CHECKING:
    from interceptor.session.debug.connections import Connections
    from interceptor.session.debug.dns import Resolution
    from interceptor.session.debug.options import DebugOptions, Errand, Way

Object = dict[str, Any]


@click.command(
    cls=SessionCommand,
    short_help="Open a container with tools in a workload's pod: a shell, packets, sockets, names.",
    context_settings={"help_option_names": ["-h", "--help"], "allow_extra_args": True},
    epilog="Exit status: COMMAND's own; 1 error, or a name that does not resolve; 2 wrong usage, 130 Ctrl-C.",
)
@click.argument("target", shell_complete=complete_target)
@click.option(
    "--pod", metavar="NAME", help="This pod.  [default: every running one to capture or list, else a ready one]"
)
@click.option(
    "--image", metavar="IMAGE", help="The tools.  [default: $INTERCEPTOR_DEBUG_IMAGE, else interceptor/debug]"
)
@click.option(
    "--profile", type=click.Choice(["general", "netadmin", "sysadmin", "restricted"]), default=None,
    help="What it may do, as with kubectl debug.  [default: what the errand needs; general for a shell]",
)  # fmt: skip
@click.option("--share", metavar="CONTAINER", help="See and trace the processes of this container of the pod.")
@click.option("--capture", metavar="FILE.pcap|-", default="", help="Write the packets there until Ctrl-C; - is stdout.")
@click.option("--filter", "filter_", metavar="BPF", default="", help="Capture only this, as in 'tcp port 8080'.")
@click.option("--connections", is_flag=True, help="Show the sockets, whose they are, and what is translated.")
@click.option(
    "--dns", metavar="NAME", default="", help="Show what NAME resolves to in the pod, and how it came to that."
)
@click.option("--inject", is_flag=True, help="Use Linkerd's own debug sidecar: rolls the pods, and back at the end.")
@click.option("--copy", is_flag=True, help="Look into a copy of the pod that gets no traffic; removed at the end.")
@access_options
@click.option(
    "-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True,
    help="Words and tables, or JSON; in a shell's case one object a line (its stdout then joins stderr).",
)  # fmt: skip
@verbose_option
@click.pass_context
def debug(ctx: click.Context, /, output: str, **typed: Any) -> int:
    """Start a container with tools in a running pod of TARGET, and a shell or COMMAND in it.

    It is an ephemeral container, as `kubectl debug` makes it: the pod is not restarted. It ends with this program, however
    that ends; its entry stays in the pod's spec, because Kubernetes lets nobody remove it. --copy leaves the pod alone.

    \b
      interceptor debug deploy/orders
      interceptor debug deploy/orders --share app -- strace -f -p 1
      interceptor debug deploy/orders --capture - --filter 'tcp port 8080' | wireshark -k -i -
      interceptor debug deploy/orders --connections
      interceptor debug deploy/orders --dns payments
    """
    options = read_options(ctx, output=output, **typed)
    # Imported here, because nothing of it is needed to answer --help or a wrong option.
    from interceptor.cli.report import open_teller
    from interceptor.cli.running import run as run_task

    result = options.errand in ("connections", "dns")
    # The result itself is one JSON document; what is told on the way stays words on stderr.
    with open_teller("text" if result else output) as teller:

        def begin() -> Coroutine[Any, Any, int]:
            from interceptor.session.debug.run import debug as run_debug

            return run_debug(options, teller, lambda found: _show(found, output))

        return run_task(begin, teller)


def read_options(
    ctx: click.Context,
    *,
    target: str,
    output: str,
    capture: str,
    filter_: str,
    connections: bool,
    dns: str,
    inject: bool,
    copy: bool,
    **typed: Any,
) -> "DebugOptions":
    """Check what can be checked without a cluster, and put it in order for the session."""
    access, command = read_access(ctx, typed), read_command(ctx)
    given = [word for word, there in (("--capture", capture), ("--connections", connections), ("--dns", dns),
                                      ("a COMMAND", command)) if there]  # fmt: skip
    if len(given) > 1:
        raise click.UsageError(f"{' and '.join(given)} exclude each other", ctx)
    if filter_ and not capture:
        raise click.UsageError("--filter says what to capture; it needs --capture FILE", ctx)
    if capture == "-" and output == "json":
        raise click.UsageError("--capture - and -o json both want stdout; name a file", ctx)
    if inject and copy:
        raise click.UsageError("--inject and --copy exclude each other", ctx)
    if inject:
        for word in ("image", "profile", "share", "pod"):
            if typed[word] is not None:
                raise click.UsageError(f"--inject does not go with --{word}: the container is Linkerd's", ctx)
    from interceptor.session.debug.options import DebugOptions

    errand: Errand = "capture" if capture else "connections" if connections else "dns" if dns else "terminal"
    way: Way = "inject" if inject else "copy" if copy else "ephemeral"
    return DebugOptions(target, errand, command, way, capture=capture, filter=filter_, name=dns, access=access, **typed)


def _show(found: "Connections | Resolution", output: str) -> None:
    from interceptor.cli.debug_tables import connection_lines, document, resolution_lines
    from interceptor.session.debug.connections import Connections

    if output == "json":
        print(json.dumps(document(found), indent=2, ensure_ascii=False))
    elif isinstance(found, Connections):
        print("\n".join(connection_lines(found)))
    else:
        print("\n".join(resolution_lines(found)))
