"""`interceptor run`: options in, `session.run` run, exit status out."""

import re
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import click

from interceptor.cli.intercept import COMMAND, InterceptCommand
from interceptor.cli.options import access_options, complete_target, home_options, read_home, verbose_option
from interceptor.session.options import Access, RunOptions

_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?"
_LABEL = re.compile(rf"(?:[a-z0-9](?:[a-z0-9.-]{{0,251}}[a-z0-9])?/)?{_NAME}=(?:{_NAME})?")


class Label(click.ParamType[tuple[str, str]]):
    """A label as `KEY=VALUE`."""

    name = "label"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """Split it."""
        if isinstance(value, tuple):
            return value
        if not _LABEL.fullmatch(value):
            self.fail(f"{value!r} is no label; type KEY=VALUE", param, ctx)
        key, _, text = value.partition("=")
        return key, text


@click.command(
    cls=InterceptCommand,
    short_help="Run a program in a workload's world, and change nothing of it.",
    context_settings={"help_option_names": ["-h", "--help"], "allow_extra_args": True},
    epilog="Exit status: COMMAND's own; 1 error, 2 wrong usage, 130 Ctrl-C, 143 SIGTERM.",
)
@click.argument("target", shell_complete=complete_target)
@click.option("-c", "--container", metavar="NAME", help="The container, when the pod has several.")
@click.option(
    "--agent-image", metavar="own|IMAGE",
    help="Run the agent in the container's own image, or in IMAGE; either has Python 3.10 or newer.  "
    "[default: own if it has Python, else python:3.13-slim]",
)  # fmt: skip
@click.option(
    "--label", "labels", type=Label(), multiple=True, metavar="KEY=VALUE",
    help="Give the pod this label, for a NetworkPolicy that goes by it. Beware of one that a Service selects.",
)  # fmt: skip
@click.option(
    "--env-file", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    help="Write the container's environment there: for the shell, or as JSON if it is named *.json.",
)  # fmt: skip
@home_options
@access_options
@click.option(
    "-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True,
    help="Words on stderr, or one JSON object a line on stdout (COMMAND's stdout then joins stderr).",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Show the pod, the other objects and missing rights; change nothing.")
@verbose_option
@click.pass_context
def run(ctx: click.Context, /, output: str, **typed: Any) -> int:
    """Run COMMAND here as if it ran in a pod of TARGET: its network, names, environment, files and identity.

    TARGET is deploy/NAME, svc/NAME, another workload or a bare NAME. Nothing of it changes: a pod like its own stands
    beside it while COMMAND runs, gets no traffic, and is gone afterwards, also if this program is killed.

    \b
      interceptor run deploy/orders -- psql -h db
      interceptor run orders -- python manage.py shell
    """
    options = read_options(ctx, **typed)
    # Imported here, because nothing of it is needed to answer --help or a wrong option.
    from interceptor.cli.report import open_teller
    from interceptor.cli.running import run as run_task

    with open_teller(output) as teller:

        def begin() -> Coroutine[Any, Any, int]:
            from interceptor.sandbox.process import find_command
            from interceptor.session.run import run as run_session

            if options.command:
                find_command(options.command)
            return run_session(options, teller)

        return run_task(begin, teller)


def read_options(
    ctx: click.Context,
    *,
    namespace: str | None,
    context: str | None,
    kubeconfig: str | None,
    as_user: str | None,
    as_groups: tuple[str, ...],
    **typed: Any,
) -> RunOptions:
    """Check what can be checked without a cluster, and put it in order for the session."""
    if as_groups and not as_user:
        raise click.UsageError("--as-group needs --as USER", ctx)
    command = ctx.meta[COMMAND] or ()
    if not command and not typed["dry_run"]:
        raise click.UsageError("the command to run stands after --", ctx)
    env_file = typed["env_file"]
    if env_file is not None and not env_file.absolute().parent.is_dir():
        raise click.UsageError(f"--env-file: there is no folder {env_file.absolute().parent}", ctx)
    access = Access(kubeconfig, context, namespace, as_user, as_groups)
    return RunOptions(command=command, access=access, home=read_home(typed), **typed)
