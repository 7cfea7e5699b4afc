"""What is typed after `interceptor intercept` becomes what the session reads."""

from pathlib import Path
from typing import Any

import click
import pytest

from interceptor.cli.intercept import intercept, read_options
from interceptor.session.options import Access, InterceptOptions


def read(*args: str) -> InterceptOptions:
    with intercept.make_context("intercept", list(args)) as ctx:
        typed: dict[str, Any] = dict(ctx.params)
        typed.pop("output")
        return read_options(ctx, **typed)


def test_defaults_are_the_documented() -> None:
    assert read("deploy/orders") == InterceptOptions("deploy/orders")


def test_everything_is_passed_on(tmp_path: Path) -> None:
    env_file = tmp_path / "pod.env"
    options = read(
        "-p", "8080", "--port", "9000:http", "orders", "--to", "::1", "-c", "app", "--agent-image", "own",
        "--hold", "1.5s", "--env-file", str(env_file), "--no-guard", "--take-over", "--take-over",
        "-n", "shop", "--context", "staging",
        "--kubeconfig", "k.yaml", "--as", "ana", "--as-group", "dev", "--as-group", "ops", "--dry-run",
        "--", "python", "-m", "orders", "--port", "1", "--", "x",
    )  # fmt: skip
    assert options == InterceptOptions(
        target="orders",
        ports=("8080", "9000:http"),
        to_host="::1",
        container="app",
        agent_image="own",
        command=("python", "-m", "orders", "--port", "1", "--", "x"),
        env_file=env_file,
        hold=1.5,
        guard=False,
        take_over=2,
        dry_run=True,
        access=Access("k.yaml", "staging", "shop", "ana", ("dev", "ops")),
    )


@pytest.mark.parametrize(("text", "seconds"), [("10", 10), ("0", 0), ("500ms", 0.5), ("2m", 120), ("1.5s", 1.5)])
def test_times_are_read(text: str, seconds: float) -> None:
    assert read("x", "--hold", text).hold == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["x", "--hold", "soon"], "not a time"),
        (["x", "--hold", "-1"], "not a time"),
        (["x", "-p", "0"], "not a port"),
        (["x", "-p", "65536"], "not a port"),
        (["x", "-p", "HTTP"], "not a port"),
        (["x", "-p", "http:8080"], "the local port"),
        (["x", "-p", "1:2:3"], "the local port"),
        (["x", "-p", ""], "not a port"),
        (["x", "-p", "http", "-p", "81:http"], "given twice"),
        (["x", "--to", "localhost:80"], "--port LOCAL:POD"),
        (["x", "--to", ""], "host name or an address"),
        (["x", "--as-group", "dev"], "--as USER"),
        (["x", "--agent-image", "a b"], "own or an image"),
        (["x", "--env-file", "/no/such/folder/f"], "no folder /no/such/folder"),
        (["x", "y"], "command after --"),
        (["x", "--"], "nothing is there"),
        (["x", "python", "-m", "y"], "stand after --"),
        (["deploy/"], "not a target"),
        (["a/b/c"], "not a target"),
        ([""], "not a target"),
    ],
)
def test_wrong_usage_says_why(args: list[str], said: str) -> None:
    with pytest.raises(click.UsageError, match=said):
        read(*args)
