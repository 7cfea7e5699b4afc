"""`interceptor completion SHELL`: prints the script that makes a shell complete our commands and options."""

import click
from click.shell_completion import get_completion_class

from interceptor.cli.options import verbose_option

SCRIPTS = (("interceptor", "_INTERCEPTOR_COMPLETE"),)


@click.command(short_help="Print the completion script of a shell.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@verbose_option
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script of SHELL.

    \b
    bash:  source <(interceptor completion bash)                              in ~/.bashrc
    zsh:   source <(interceptor completion zsh)                               in ~/.zshrc
    fish:  interceptor completion fish > ~/.config/fish/completions/interceptor.fish
    """
    make = get_completion_class(shell)
    assert make is not None
    for program, variable in SCRIPTS:
        click.echo(make(ctx.find_root().command, {}, program, variable).source())
