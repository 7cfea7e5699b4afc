"""What `intercept` and `run` share: COMMAND after `--`, the options around it, and the way from both to an exit status."""

from collections.abc import Callable, Coroutine
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

from interceptor.session.options import Access

if TYPE_CHECKING:
    from interceptor.session.events import Teller

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

_COMMAND = "interceptor.command"
_ACCESS = tuple(field.name for field in fields(Access))


class SessionCommand(click.Command):
    """Everything after the first `--` is COMMAND and reaches it untouched; click parses only what is before."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take COMMAND off before click sees the rest."""
        ctx.meta[_COMMAND] = None
        if "--" in args:
            cut = args.index("--")
            args, command = args[:cut], tuple(args[cut + 1 :])
            ctx.meta[_COMMAND] = command
            if not command and not ctx.resilient_parsing:
                raise click.UsageError("after -- stands the command to run, but nothing is there", ctx)
        try:
            rest = super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            if ctx.meta[_COMMAND] is not None or error.possibilities:
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
        if ctx.meta.get(_COMMAND) is not None:
            return [CompletionItem(incomplete, type="file")]
        return super().shell_complete(ctx, incomplete)


def agent_options(command: Decorated) -> Decorated:
    """Say which container of the pod is meant, and in which image the agent runs."""
    for option in (
        click.option(
            "--agent-image", metavar="own|IMAGE",
            help="Run the agent in the container's own image, or in IMAGE; either has Python 3.10 or newer.  "
            "[default: own if it has Python, else python:3.13-slim]",
        ),
        click.option("-c", "--container", metavar="NAME", help="The container, when the pod has several."),
    ):  # fmt: skip
        command = option(command)
    return command


def env_file_option(command: Decorated) -> Decorated:
    """Ask for the container's environment in a file; `check_env_file` sees that it can be written."""
    return click.option(
        "--env-file", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
        help="Write the container's environment there: for the shell, or as JSON if it is named *.json.",
    )(command)  # fmt: skip


def metrics_option(command: Decorated) -> Decorated:
    """Ask for figures that a Prometheus can read."""
    return click.option(
        "--metrics", type=click.IntRange(0, 65535), metavar="PORT",
        help="Serve the session's figures at http://127.0.0.1:PORT/metrics, for a Prometheus; 0 takes a free port.",
    )(command)  # fmt: skip


def output_option(command: Decorated) -> Decorated:
    """Choose between words and JSON lines."""
    return click.option(
        "-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True,
        help="Words on stderr, or one JSON object a line on stdout (COMMAND's stdout then joins stderr).",
    )(command)  # fmt: skip


def read_command(ctx: click.Context) -> tuple[str, ...]:
    """COMMAND as it was typed; empty without one."""
    return ctx.meta[_COMMAND] or ()


def read_access(ctx: click.Context, typed: dict[str, Any]) -> Access:
    """Take what `access_options` gave out of `typed`."""
    access = Access(**{name: typed.pop(name) for name in _ACCESS})
    if access.as_groups and not access.as_user:
        raise click.UsageError("--as-group needs --as USER", ctx)
    return access


def check_env_file(ctx: click.Context, path: Path | None) -> None:
    """Refuse a file in a folder that is not there, before anything is changed for it."""
    if path is not None and not path.absolute().parent.is_dir():
        raise click.UsageError(f"--env-file: there is no folder {path.absolute().parent}", ctx)


def run_command(command: tuple[str, ...], begin: "Callable[[Teller], Coroutine[Any, Any, int]]", output: str) -> int:
    """Run the session that `begin` makes to its exit status; COMMAND has to be there before anything is changed."""
    # Imported here, because nothing of it is needed to answer --help or a wrong option.
    from interceptor.cli.report import open_teller
    from interceptor.cli.running import run

    with open_teller(output) as teller:

        def begun() -> Coroutine[Any, Any, int]:
            from interceptor.sandbox.process import find_command

            if command:
                find_command(command)
            return begin(teller)

        return run(begun, teller)
