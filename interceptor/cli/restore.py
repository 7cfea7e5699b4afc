"""`interceptor restore`: repairs workloads whose intercepts nobody ended; options in, `session.repair` run."""

from collections.abc import Coroutine
from typing import Any

import click

from interceptor.cli.options import access_options, all_namespaces_option, complete_target, verbose_option
from interceptor.session.options import Access


@click.command(
    short_help="Take an intercept back whose client is gone.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.argument("target", required=False, shell_complete=complete_target)
@click.option("--all", "all_", is_flag=True, help="Every intercept of the namespace, and what others left behind.")
@all_namespaces_option
@click.option("--force", is_flag=True, help="Also where the holder's client lives; it will end, and say so.")
@access_options
@click.option(
    "-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="Words or JSON."
)
@verbose_option
@click.pass_context
def restore(
    ctx: click.Context,
    /,
    target: str | None,
    all_: bool,
    all_namespaces: bool,
    force: bool,
    output: str,
    **access: Any,
) -> int:
    """Restore TARGET from what is stored in the cluster, without the client that intercepted it.

    Agents do this by themselves; it is for sessions without a guard, and for agents that never started. While the
    client that holds TARGET lives, it refuses. With --all it goes on with the others then, and fails in the end.

    \b
      interceptor restore deploy/orders
      interceptor restore --all
      interceptor restore --all -A
    """
    if (target is None) != all_:
        raise click.UsageError("name a TARGET, or all of them with --all", ctx)
    if all_namespaces and not all_:
        raise click.UsageError("-A restores in all namespaces; it needs --all", ctx)
    from interceptor.cli.report import open_teller
    from interceptor.cli.running import run
    from interceptor.session.repair import repair, repair_all

    with open_teller(output) as teller:

        def begin() -> Coroutine[Any, Any, int]:
            typed = Access(**access)
            if target is None:
                return repair_all(typed, teller, everywhere=all_namespaces, force=force)
            return repair(target, typed, teller, force=force)

        return run(begin, teller)
