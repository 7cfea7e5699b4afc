"""What `run`, `env` and the options of COMMAND's home take, and what they refuse before a cluster is asked."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from interceptor.cli.run import read_options, run
from interceptor.session.options import RunOptions


def read(*words: str) -> RunOptions:
    context = run.make_context("run", list(words))
    typed = {key: value for key, value in context.params.items() if key != "output"}
    return read_options(context, **typed)


def test_options_are_read() -> None:
    options = read(
        "deploy/orders", "-n", "shop", "--mount", "rw", "--mount", "/data:here", "--env", "A=b=c", "--env-exclude", "X*",
        "--label", "app.kubernetes.io/part-of=shop", "--sandbox", "auto", "--", "psql", "-h", "db",
    )  # fmt: skip
    assert options.command == ("psql", "-h", "db")
    assert options.labels == (("app.kubernetes.io/part-of", "shop"),)
    assert options.home.mounts == ("rw", "/data:here")
    assert options.home.env == (("A", "b=c"),)
    assert options.home.env_exclude == ("X*",)
    assert options.access.namespace == "shop"


def test_shell_variables_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINE", "here")
    assert read("orders", "--env", "MINE", "--", "x").home.env == (("MINE", "here"),)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["orders"], "the command to run stands after --"),
        (["orders", "--label", "a b=c", "--", "x"], "is no label"),
        (["orders", "--env", "=x", "--", "x"], "names no variable"),
        (["orders", "--env", "NOT_SET_ANYWHERE", "--", "x"], "this shell has no variable"),
    ],
)
def test_wrong_words_are_refused(words: list[str], said: str) -> None:
    with pytest.raises(click.UsageError, match=said):
        read(*words)


@pytest.mark.parametrize("name", ["run", "env", "doctor"])
def test_help_is_there(name: str) -> None:
    from interceptor.cli.main import interceptor  # noqa: PLC0415

    answer = CliRunner().invoke(interceptor, [name, "--help"])
    assert answer.exit_code == 0
    assert "Usage:" in answer.output
