"""Options and value types that several commands share; commands decorate with them, click calls them."""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, ClassVar, TypeVar

import click

from interceptor.session.options import HomeOptions

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

_verbose: ContextVar[bool] = ContextVar("verbose", default=False)


@contextmanager
def verbosity() -> Iterator[Callable[[], bool]]:
    """Start one command line as not verbose; yields the question whether -v was typed meanwhile.

    A context variable and not click's context, because the answer is wanted after click has left it.
    """
    token = _verbose.set(False)
    try:
        yield _verbose.get
    finally:
        _verbose.reset(token)


def is_verbose() -> bool:
    """Tell whether -v was typed, before or after the command's name."""
    return _verbose.get()


def _note_verbose(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        _verbose.set(True)


def verbose_option(command: Decorated) -> Decorated:
    """Give a command `-v`; it means the same before and after the command's name."""
    return click.option(
        "-v",
        "--verbose",
        is_flag=True,
        expose_value=False,
        callback=_note_verbose,
        help="Show the traceback of an error, and what the parts log.",
    )(command)


class Seconds(click.ParamType[float]):
    """A time: 10, 10s, 1.5s, 500ms, 2m."""

    name = "seconds"
    _UNITS: ClassVar = {"": 1.0, "s": 1.0, "ms": 0.001, "m": 60.0}
    _PATTERN = re.compile(r"(\d{1,6}(?:\.\d{1,6})?)(ms|s|m|)")

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Turn what was typed into seconds."""
        if isinstance(value, (int, float)):
            return float(value)
        match = self._PATTERN.fullmatch(value)
        if match is None:
            self.fail(f"{value!r} is not a time; type seconds (10, 10s), 500ms or 2m", param, ctx)
        return float(match[1]) * self._UNITS[match[2]]


class Port(click.ParamType[str]):
    """A port as `[LOCAL:]POD`, POD a number or a name; kept as typed, because only the pod knows its names."""

    name = "port"
    # A port's name is an IANA service name: 15 letters, digits and single dashes, at least one letter.
    _NAME = re.compile(r"(?=.{1,15}$)(?=.*[a-z])[a-z0-9]+(?:-[a-z0-9]+)*")

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Refuse what can't be a port anywhere."""
        local, colon, pod = value.rpartition(":")
        if colon and not self._is_number(local):
            self.fail(f"{value!r}: before the colon stands the local port, a number from 1 to 65535", param, ctx)
        if not self._is_number(pod) and not self._NAME.fullmatch(pod):
            self.fail(f"{value!r} is not a port; type [LOCAL:]POD, as in 8080, http or 9000:8080", param, ctx)
        return str(value)

    @staticmethod
    def _is_number(text: str) -> bool:
        return text.isascii() and text.isdigit() and 1 <= int(text[:6]) <= 65535


class Place(click.ParamType[str]):
    """A place of this machine as `PORT` or `HOST:PORT`; kept as typed, because a name is resolved only when needed."""

    name = "place"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Refuse what can't be a place anywhere."""
        host, colon, port = value.rpartition(":")
        if not (port.isascii() and port.isdigit() and 1 <= int(port[:6]) <= 65535) or (colon and not host):
            self.fail(f"{value!r} is no place; type PORT or HOST:PORT, as in 5432 or db.lan:5432", param, ctx)
        return str(value)


class Variable(click.ParamType[tuple[str, str]]):
    """A variable as `NAME=VALUE`, or `NAME` for what this shell has."""

    name = "variable"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        """Split it."""
        if isinstance(value, tuple):
            return value
        name, equals, text = value.partition("=")
        if not name:
            self.fail(f"{value!r} names no variable; type NAME=VALUE, or NAME for what this shell has", param, ctx)
        if not equals and name not in os.environ:
            self.fail(f"this shell has no variable {name}; type {name}=VALUE", param, ctx)
        return name, text if equals else os.environ[name]


def read_home(typed: dict[str, Any]) -> HomeOptions:
    """Take what `home_options` gave out of `typed`."""
    return HomeOptions(
        mode=typed.pop("sandbox"),
        local=typed.pop("local"),
        local_net=typed.pop("local_net"),
        mounts=typed.pop("mount"),
        env=typed.pop("env"),
        env_exclude=typed.pop("env_exclude"),
    )


def home_options(command: Decorated) -> Decorated:
    """Say where COMMAND lives and what it sees there; `read_home` makes one value of them."""
    for option in (
        click.option(
            "--env-exclude", multiple=True, metavar="GLOB",
            help="Leave out the container's variables of these names.",
        ),
        click.option(
            "--env", type=Variable(), multiple=True, metavar="NAME[=VALUE]",
            help="Set a variable for COMMAND, or keep this shell's. Several allowed.",
        ),
        click.option(
            "--mount", multiple=True, metavar="none|rw|PATH[:LOCAL]",
            help="The container's volumes appear at their paths, to be read; none of them, writable ones, also the one "
            "at PATH that would hide something here, or that at LOCAL. Several allowed.",
        ),
        click.option("--local-net", is_flag=True, help="Let COMMAND reach all of this machine's loopback."),
        click.option(
            "--local", type=Place(), multiple=True, metavar="PORT|HOST:PORT",
            help="Let COMMAND reach this place of the machine: a port of its loopback, or one beyond. Several allowed.",
        ),
        click.option(
            "--sandbox", type=click.Choice(["auto", "namespace", "proxy"]), default="auto", show_default=True,
            help="Where COMMAND runs: in namespaces of its own, where its network is the pod's (Linux), or here, with "
            "variables that name a proxy; auto takes the first where it can be had.",
        ),
    ):  # fmt: skip
        command = option(command)
    return command


def complete_target(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Ask the cluster for names when Tab is pressed."""
    from interceptor.cli.complete import targets

    return targets(ctx.params, incomplete)


def all_namespaces_option(command: Decorated) -> Decorated:
    """Give a command kubectl's `-A`."""
    return click.option("-A", "--all-namespaces", is_flag=True, help="In all namespaces.")(command)


def access_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add kubectl's options for which cluster, as whom; they arrive as the fields of `session.options.Access`."""
    for option in (
        click.option("--as-group", "as_groups", metavar="GROUP", multiple=True, help="And in this group."),
        click.option("--as", "as_user", metavar="USER", help="Act as this user."),
        click.option("--kubeconfig", metavar="FILE", help="The kubeconfig, if not $KUBECONFIG or ~/.kube/config."),
        click.option("--context", metavar="NAME", help="The context of the kubeconfig, if not the current one."),
        click.option("-n", "--namespace", metavar="NAME", help="The namespace, if not the context's."),
    ):
        command = option(command)
    return command
