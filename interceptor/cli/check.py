"""`interceptor check`: options in, `session.check` run, its rows printed by `cli.check_words`."""

from typing import Any

import click

from interceptor.cli.options import Seconds, access_options, verbose_option
from interceptor.session.options import Access


@click.command(
    short_help="Say what is wrong with the mesh, a workload, or this client.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.argument("target", required=False)
@click.option("--pre", is_flag=True, help="What an installation of Linkerd would need.")
@click.option("--proxy", is_flag=True, help="The proxies beside the workloads too.")
@click.option(
    "--wait", type=Seconds(), default="0s", metavar="DURATION", help="How long to wait for what may still become well."
)
@click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "short", "json"]),
    default="table",
    show_default=True,
    help="All checks, those that failed, or JSON.",
)
@click.option(
    "--mesh",
    type=click.Choice(["auto", "linkerd", "istio", "none"]),
    default="auto",
    show_default=True,
    help="The mesh to check.",
)
@click.option("--expected-version", default="", metavar="VERSION", help="The mesh's version that counts as current.")
@click.option(
    "-L",
    "--linkerd-namespace",
    default="linkerd",
    envvar="LINKERD_NAMESPACE",
    metavar="NAME",
    help="Where Linkerd's control plane is.",
)
@click.option("--cni-namespace", default="linkerd-cni", metavar="NAME", help="Where Linkerd's CNI plugin is.")
@access_options
@verbose_option
def check(
    target: str | None,
    pre: bool,
    proxy: bool,
    wait: float,
    output: str,
    mesh: Any,
    expected_version: str,
    linkerd_namespace: str,
    cni_namespace: str,
    **access: Any,
) -> int:
    """Check the cluster and its mesh, in Linkerd's words, and what this client needs; or one TARGET and its neighbours.

    Exit status 0: no check failed. 1: one did. 2: wrong usage. What may not be read is unknown, and fails nothing.
    """
    from interceptor.cli.check_words import open_printer
    from interceptor.cli.report import open_teller
    from interceptor.cli.running import run
    from interceptor.session.check import CheckOptions
    from interceptor.session.check import check as run_checks

    if pre and (proxy or target):
        raise click.UsageError("--pre goes with neither --proxy nor TARGET")
    if target and proxy:
        raise click.UsageError("a TARGET is checked with its proxies anyway: leave out --proxy")
    options = CheckOptions(
        target=target,
        pre=pre,
        proxy=proxy,
        wait=wait,
        mesh=mesh,
        expected_version=expected_version,
        linkerd_namespace=linkerd_namespace,
        cni_namespace=cni_namespace,
        access=Access(**access),
    )
    with open_teller("text") as teller, open_printer(output, teller) as printer:

        async def checked() -> int:
            good = await run_checks(options, printer.tell, printer.waiting)
            printer.end(good)
            return 0 if good else 1

        return run(checked, teller)
