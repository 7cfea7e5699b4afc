"""The command line's root: `__main__` calls `start`, which runs a command and turns its end into an exit status.

Nothing costly is imported here: `interceptor --help` must answer at once, so a command's module is imported
when that command is named, and its line of help stands in the table below (a test keeps the two equal).
"""

import os
import sys
import traceback
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module

import click

from interceptor import __version__
from interceptor.cli.options import verbose_option, verbosity
from interceptor.errors import InterceptorError

COMMANDS = {
    "intercept": ("interceptor.cli.intercept:intercept", "Run a workload's traffic on this machine."),
    "run": ("interceptor.cli.run:run", "Run a program in a workload's world, and change nothing of it."),
    "env": ("interceptor.cli.env:env", "Print the environment of a workload's container."),
    "list": ("interceptor.cli.list:list_", "Show who intercepts what, and what was left behind."),
    "status": ("interceptor.cli.status:status", "Probe the whole path of an intercept, and name what fails."),
    "restore": ("interceptor.cli.restore:restore", "Take an intercept back whose client is gone."),
    "rbac": ("interceptor.cli.rbac:rbac", "Print the Role that our commands need."),
    "check": ("interceptor.cli.check:check", "Say what is wrong with the mesh, a workload, or this client."),
    "debug": (
        "interceptor.cli.debug:debug",
        "Open a container with tools in a workload's pod: a shell, packets, sockets, names.",
    ),
    "routes": ("interceptor.cli.routes:routes", "Show success, rate and latency by route."),
    "stat": ("interceptor.cli.stat:stat", "Show success, rate, latency and connections by workload."),
    "tap": ("interceptor.cli.tap:tap", "Show requests as they pass a workload."),
    "log-level": (
        "interceptor.cli.log_level:log_level",
        "Show or set the log level of a workload's mesh proxies.",
    ),
    "profile": ("interceptor.cli.profile:profile", "Show and steer timeouts and retries of a service's routes."),
    "dash": ("interceptor.cli.dash:dash", "Show an intercept live in a browser."),
    "doctor": (
        "interceptor.cli.doctor:doctor",
        "Say which kind of sandbox this machine allows, and how to get a better one.",
    ),
    "replay": ("interceptor.cli.replay:replay", "Send recorded requests to a local process."),
    "demo": ("interceptor.cli.demo:demo", "See an intercept happen, in a small cluster made for it."),
    "completion": ("interceptor.cli.completion:completion", "Print the completion script of a shell."),
}


class LazyGroup(click.Group):
    """A group that knows its commands' names and help by heart, and imports only the one that is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the commands in the order a newcomer needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_line) for name, (_, help_line) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; say which one may have been meant."""
        name = args[0]
        if name in COMMANDS or name.startswith("-") or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        meant = get_close_matches(name, COMMANDS, n=1)
        guess = f", did you mean {meant[0]}?" if meant else ""
        raise click.UsageError(f"there is no command {name!r}{guess}", ctx)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="interceptor", message="%(prog)s %(version)s")
@verbose_option
def interceptor() -> None:
    """Run a Kubernetes workload's traffic on this machine, and leave the cluster as it was."""


def start(command: click.Command, args: Sequence[str], *, prog_name: str) -> int:
    """Run `command` with `args` and return the exit status; an error becomes one line on stderr."""
    complete_var = "_" + prog_name.upper().replace(" ", "_") + "_COMPLETE"
    with verbosity() as verbose:
        try:
            outcome = command.main(list(args), prog_name=prog_name, standalone_mode=False, complete_var=complete_var)
        except click.Abort:
            return 130
        except click.exceptions.NoArgsIsHelpError as error:
            error.show()
            return error.exit_code
        except click.ClickException as error:
            say_error(usage_line(error, prog_name))
            return error.exit_code
        except InterceptorError as error:
            if verbose():
                traceback.print_exception(error)
            say_error(str(error))
            return error.exit_status
        except BrokenPipeError:
            # The reader of our help or of a dry run has left (`| head`). Python flushes stdout once more
            # when it exits; a null device takes that without a complaint.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        return outcome if isinstance(outcome, int) else 0


def usage_line(error: click.ClickException, prog_name: str) -> str:
    """Put a usage error and what to type next on one line."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    path = context.command_path if context is not None else prog_name
    message = " ".join(error.format_message().split()).rstrip(".")
    return f"{message}; see {path} --help"


def say_error(line: str) -> None:
    """Print the one line a person reads when something failed."""
    click.echo(f"error: {line}", err=True)
