"""`interceptor restore`: repairs a workload whose intercept nobody ended; options in, `session.repair` run."""

from typing import Any

import click

from interceptor.cli.options import access_options, verbose_option
from interceptor.session.options import Access


@click.command(
    short_help="Take an intercept back whose client is gone.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.argument("target")
@access_options
@click.option(
    "-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="Words or JSON."
)
@verbose_option
def restore(target: str, output: str, **access: Any) -> int:
    """Restore TARGET from what is stored in the cluster, without the client that intercepted it.

    Agents do this by themselves; it is for sessions without a guard, and for agents that never started. While the
    client that holds TARGET lives, it refuses.
    """
    from interceptor.cli.report import open_teller
    from interceptor.cli.running import run
    from interceptor.session.repair import repair

    with open_teller(output) as teller:
        return run(lambda: repair(target, Access(**access), teller), teller)
