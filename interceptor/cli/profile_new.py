"""`interceptor profile new`: options in, `session.profile_new` asked, YAML for `kubectl apply -f -` out."""

import json
import sys
from typing import Any

import click

from interceptor.cli.options import Seconds, access_options, verbose_option
from interceptor.session.options import Access


@click.command(
    "new",
    short_help="Print a ServiceProfile or HTTPRoutes made of a document, or of what passes.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.argument("service", metavar="SVC")
@click.option(
    "--open-api", metavar="FILE", default="", help="From an OpenAPI or Swagger document; - is standard input."
)
@click.option("--proto", metavar="FILE", default="", help="From a protobuf file.")
@click.option("--from-tap", "tap", type=Seconds(), default=0.0, metavar="TIME",
              help="From the requests that pass within this time, as interceptor tap sees them: 30s.")  # fmt: skip
@click.option("--from-routes", "routes", is_flag=True, help="From the paths that interceptor routes has counted.")
@click.option("--window", type=Seconds(), default=30.0, metavar="TIME",
              help="With --from-routes: what was counted in this time.  [default: 30s]")  # fmt: skip
@click.option("--kind", type=click.Choice(["serviceprofile", "httproute"]), default=None,
              help="Instead of the kind that is in force.")  # fmt: skip
@click.option("--ignore-cluster", is_flag=True, help="Ask no cluster: SVC need not be there.")
@click.option("--cluster-domain", "domain", metavar="NAME", default="", help="The cluster's DNS domain.")
@access_options
@click.option("-o", "--output", type=click.Choice(["yaml", "json"]), default="yaml", show_default=True, help="Format.")
@verbose_option
@click.pass_context
def new(
    ctx: click.Context,
    /,
    service: str,
    open_api: str,
    proto: str,
    tap: float,
    routes: bool,
    window: float,
    kind: str | None,
    ignore_cluster: bool,
    domain: str,
    output: str,
    **access: Any,
) -> int:
    """Print the routes of SVC as the kind that is in force there: a ServiceProfile, or an HTTPRoute for each.

    Nothing is changed. What the objects disable, or are disabled by, is told on stderr.

    \b
      interceptor profile new svc/books --open-api openapi.yaml | kubectl apply -f -
      interceptor profile new svc/books --from-tap 30s > routes.yaml
      interceptor profile new svc/books --from-routes --kind httproute
    """
    if sum(map(bool, (open_api, proto, tap, routes))) != 1:
        raise click.UsageError("choose one of --open-api, --proto, --from-tap and --from-routes", ctx)
    if tap and not 1.0 <= tap <= 3600.0:
        raise click.UsageError("--from-tap takes 1s to 60m", ctx)
    if not 1.0 <= window <= 600.0:
        raise click.UsageError("--window takes 1s to 10m", ctx)
    from interceptor.cli.report import open_teller
    from interceptor.cli.running import run
    from interceptor.mesh.profile.build import yaml_of
    from interceptor.session.profile_new import ProfileNewOptions, new_profile, text_of

    text = text_of(open_api or proto, sys.stdin) if open_api or proto else ""
    options = ProfileNewOptions(
        service, open_api, proto, text, tap, routes, window, kind or "", ignore_cluster, domain, Access(**access)
    )

    async def print_it() -> int:
        made = await new_profile(options, teller)
        for note in made.notes:
            print(f"note: {note}", file=sys.stderr)
        if output == "json":
            whole = (
                made.objects[0]
                if len(made.objects) == 1
                else {"apiVersion": "v1", "kind": "List", "items": made.objects}
            )
            print(json.dumps(whole, indent=2))
        else:
            print(yaml_of(made.objects), end="")
        return 0

    with open_teller("text") as teller:
        return run(print_it, teller)
