"""`interceptor env`: prints a container's environment; options in, `session.environ` asked."""

from typing import Any

import click

from interceptor.cli.options import access_options, verbose_option
from interceptor.session.options import Access


@click.command(
    short_help="Print the environment of a workload's container.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.argument("target")
@click.option("-c", "--container", metavar="NAME", help="The container, when the pod has several.")
@click.option("--env-exclude", multiple=True, metavar="GLOB", help="Leave out variables of these names.")
@access_options
@click.option(
    "-o", "--output", type=click.Choice(["shell", "docker", "json"]), default="shell", show_default=True,
    help="Lines for a POSIX shell to source, for `docker run --env-file`, or a JSON object.",
)  # fmt: skip
@verbose_option
def env(target: str, container: str | None, env_exclude: tuple[str, ...], output: Any, **access: Any) -> int:
    """Print the variables of TARGET's container as processes there see them. Nothing is changed.

    What a shell or docker can't carry (names like `my.name`, several lines for docker) is left out and told; JSON has
    everything. The values may be secrets.

    \b
      eval "$(interceptor env deploy/orders)"
      interceptor env orders -o docker > orders.env
    """
    from interceptor.cli.report import open_teller
    from interceptor.cli.running import run
    from interceptor.sandbox.environment import formatted
    from interceptor.session.environ import environ_of
    from interceptor.session.events import Event

    with open_teller("text") as teller:

        async def show() -> int:
            environ = await environ_of(target, container, env_exclude, Access(**access))
            text, left_out = formatted(environ, output)
            click.echo(text.encode(errors="surrogateescape"), nl=False)
            if left_out:
                teller.tell(Event("note", f"{output} can't carry {', '.join(left_out)}: left out"))
            return 0

        return run(show, teller)
