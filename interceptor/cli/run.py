"""`interceptor run`: options in, `session.run` run, exit status out."""

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
from interceptor.cli.options import access_options, complete_target, home_options, read_home, verbose_option
from interceptor.session.options import RunOptions

if TYPE_CHECKING:
    from interceptor.session.events import Teller

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
    cls=SessionCommand,
    short_help="Run a program in a workload's world, and change nothing of it.",
    context_settings={"help_option_names": ["-h", "--help"], "allow_extra_args": True},
    epilog="Exit status: COMMAND's own; 1 error, 2 wrong usage, 130 Ctrl-C, 143 SIGTERM.",
)
@click.argument("target", shell_complete=complete_target)
@agent_options
@click.option(
    "--label", "labels", type=Label(), multiple=True, metavar="KEY=VALUE",
    help="Give the pod this label, for a NetworkPolicy that goes by it. Beware of one that a Service selects.",
)  # fmt: skip
@env_file_option
@home_options
@metrics_option
@access_options
@output_option
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

    def begin(teller: "Teller") -> Coroutine[Any, Any, int]:
        from interceptor.session.run import run as run_session

        return run_session(options, teller)

    return run_command(options.command, begin, output)


def read_options(ctx: click.Context, **typed: Any) -> RunOptions:
    """Check what can be checked without a cluster, and put it in order for the session."""
    access, command = read_access(ctx, typed), read_command(ctx)
    if not command and not typed["dry_run"]:
        raise click.UsageError("the command to run stands after --", ctx)
    check_env_file(ctx, typed["env_file"])
    return RunOptions(command=command, access=access, home=read_home(typed), **typed)
