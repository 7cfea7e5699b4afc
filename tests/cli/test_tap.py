"""What `tap` and `routes` understand of what was typed, before anything is asked."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from interceptor.cli import routes, tap
from interceptor.cli.main import start
from interceptor.session.tap import TapOptions


def parsed(module_command: click.Command, read: object, *words: str) -> object:
    context = module_command.make_context("x", list(words))
    typed = {name: value for name, value in context.params.items() if name not in ("output", "show_headers")}
    assert callable(read)
    return read(context, **typed)


def test_tap_options(tmp_path: Path) -> None:
    record = str(tmp_path / "a.har")
    words = [
        "orders",
        "--method",
        "get",
        "--status",
        "5xx",
        "--header",
        "X-User=a*",
        "--min-latency",
        "200ms",
        "--max",
        "3",
        "--trace",
        "4BF9",
    ]
    options = parsed(tap.tap, tap.read_options, *words, "--record", record, "-n", "shop")
    assert isinstance(options, TapOptions)
    assert (options.target, options.most, options.bodies, options.access.namespace) == ("orders", 3, 65536, "shop")
    assert options.wanted.to_json() == {
        "methods": ["GET"],
        "paths": [],
        "statuses": ["5xx"],
        "headers": [["x-user", "a*"]],
        "min_latency": 0.2,
        "direction": "",
        "traces": ["4bf9"],
    }


@pytest.mark.parametrize(
    ("command", "words", "error"),
    [
        (tap.tap, ["--status", "6xx"], "'6xx' is not a status"),
        (tap.tap, ["--header", "x"], "--header takes NAME=VALUE"),
        (tap.tap, ["--record", "a.txt"], "--record writes FILE.har or FILE.jsonl"),
        (tap.tap, ["--max", "0"], "--max"),
        (tap.tap, ["--attach"], "--attach needs a TARGET"),
        (tap.tap, ["orders", "--attach", "--direction", "outbound"], "passes an intercept only"),
        (tap.tap, ["orders", "--agent-image", "own"], "--agent-image is for --attach"),
        (tap.tap, ["--trace", "4bf9z"], "--trace takes a trace's id"),
        (routes.routes, ["a", "--to", "b", "--from", "c"], "--to and --from exclude each other"),
        (routes.routes, ["a", "-t", "1h"], "is not a time"),
        (routes.routes, ["a", "-t", "20m"], "--window takes 1s to 10m"),
        (routes.routes, ["a", "--source", "session", "--prometheus", "http://x"], "--prometheus does not go with"),
    ],
)
def test_wrong_usage(command: click.Command, words: list[str], error: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert start(command, words, prog_name="x") == 2
    assert error in capsys.readouterr().err
