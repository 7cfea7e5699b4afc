"""`interceptor dash`: a live page of an intercept; options in, `dash.app` served, the page's address out."""

import asyncio
import json
import os
import secrets
import sys
import webbrowser
from collections.abc import Coroutine
from typing import Any

import click

from interceptor.cli.lines import Lines
from interceptor.cli.options import access_options, complete_target, verbose_option
from interceptor.session.options import Access


@click.command(
    short_help="Show an intercept live in a browser.",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Serves until Ctrl-C; who knows the printed address can see and replay what passes.",
)
@click.argument("target", required=False, shell_complete=complete_target)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, metavar="PORT",
    help="The port on 127.0.0.1.  [default: a free one]",
)  # fmt: skip
@click.option("--no-browser", "browser", is_flag=True, flag_value=False, default=True, help="Only print the address.")
@click.option("--show-secrets", is_flag=True, help="Show, and replay, credentials, cookies and tokens instead of ***.")
@access_options
@click.option(
    "-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True,
    help="The address alone, or as JSON.",
)  # fmt: skip
@verbose_option
def dash(target: str | None, port: int, browser: bool, show_secrets: bool, output: str, **access: Any) -> int:
    """Serve a page that shows TARGET while it is intercepted from this machine: its path, its routes, its requests.

    Without TARGET, of the only intercept that runs. Run it in another terminal, beside the intercept.

    \b
      interceptor dash
      interceptor dash deploy/orders --port 8900 --no-browser
    """
    from interceptor.cli.report import open_teller
    from interceptor.cli.running import run

    with open_teller("text") as teller:

        def begin() -> Coroutine[Any, Any, int]:
            return _serve(Access(**access), target, port, browser=browser, show_secrets=show_secrets, output=output)

        return run(begin, teller)


def _has_screen() -> bool:
    """Whether a browser can be shown: without a screen one in the terminal would be started."""
    screens = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    return not sys.platform.startswith("linux") or any(os.environ.get(name) for name in screens)


async def _serve(
    access: Access, target: str | None, port: int, *, browser: bool, show_secrets: bool, output: str
) -> int:
    from interceptor.dash.app import Dash
    from interceptor.dash.watching import Watching
    from interceptor.session.tap import find_session
    from interceptor.web.loopback import application, origin_of, reserve, serve

    session = await find_session(access, target)
    token = secrets.token_urlsafe(24)
    watching = Watching(access, target)
    with reserve(port, "--port") as sock:
        app = application(sock)
        Dash(watching, access, token, secrets=show_secrets).add_to(app)
        address = f"{origin_of(sock)}/?token={token}"
        async with asyncio.TaskGroup() as group:
            group.create_task(watching.follow(session), name="watch the session")
            group.create_task(serve(app, sock), name="serve the page")
            lines = Lines(sys.stdout)
            lines.line(json.dumps({"address": address, "workload": session.title}) if output == "json" else address)
            if browser and _has_screen():
                await asyncio.to_thread(webbrowser.open, address)
    return 0
