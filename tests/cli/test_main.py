"""The command line as a person meets it: real processes, real output, real exit statuses."""

import os
import resource
import subprocess
import sys
from collections.abc import Mapping

import click
import pytest

from interceptor import __version__
from interceptor.cli.main import COMMANDS, LazyGroup, interceptor

COSTLY = ("aiohttp", "asyncio", "cryptography", "kubernetes", "logging", "psutil", "rich", "yaml")


def typed(*args: str, environ: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "interceptor", *args],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={**os.environ, "NO_COLOR": "1", **(environ or {})},
    )


def test_help_answers_at_once() -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert typed("--help").returncode == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime < 0.2


@pytest.mark.parametrize("args", [["--help"], ["intercept", "--help"], ["intercept", "x", "--wrong"]])
def test_help_imports_nothing_costly(args: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "interceptor", *args],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert "click" in imported
    assert not imported & set(COSTLY)


def test_table_matches_commands() -> None:
    assert isinstance(interceptor, LazyGroup)
    for name, (_, help_line) in COMMANDS.items():
        command = interceptor.get_command(click.Context(interceptor), name)
        assert command is not None
        assert (command.name, command.short_help) == (name, help_line)


def test_version_is_ours() -> None:
    assert typed("--version").stdout == f"interceptor {__version__}\n"


def test_unknown_command_is_guessed() -> None:
    done = typed("intercpt")
    assert done.returncode == 2
    assert done.stderr == "error: there is no command 'intercpt', did you mean intercept?; see interceptor --help\n"
    assert done.stdout == ""


def test_wrong_usage_is_one_line() -> None:
    done = typed("intercept")
    assert done.returncode == 2
    assert done.stderr == "error: Missing argument 'TARGET'; see interceptor intercept --help\n"


def test_no_command_shows_help() -> None:
    done = typed()
    assert done.returncode == 2
    assert "Usage: interceptor [OPTIONS] COMMAND" in done.stderr


def test_plugin_speaks_as_kubectl() -> None:
    script = "from interceptor.__main__ import kubectl_plugin; kubectl_plugin()"
    done = subprocess.run(
        [sys.executable, "-c", script, "--help"], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout.startswith("Usage: kubectl intercept [OPTIONS] TARGET [-- COMMAND...]\n")


def test_missing_command_stops_early() -> None:
    done = typed("intercept", "deploy/x", "--", "no-such-program")
    assert done.returncode == 127
    assert done.stderr.startswith("error: no-such-program: command not found")


def test_failure_is_an_event() -> None:
    done = typed("intercept", "deploy/x", "-o", "json", "--", "no-such-program")
    assert done.returncode == 127
    assert done.stdout.startswith('{"event": "failed", "text": "no-such-program: command not found')
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("words", "position", "expected"),
    [
        ("interceptor in", 1, "plain,intercept"),
        ("interceptor intercept --ag", 2, "plain,--agent-image"),
        ("interceptor intercept x -- python ma", 5, "file,ma"),
    ],
)
def test_shell_completes(words: str, position: int, expected: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from interceptor.__main__ import main; main()"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={
            **os.environ,
            "_INTERCEPTOR_COMPLETE": "bash_complete",
            "COMP_WORDS": words,
            "COMP_CWORD": str(position),
        },
    )
    assert expected in done.stdout.splitlines()


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_completion_script_is_printed(shell: str) -> None:
    done = typed("completion", shell)
    assert done.returncode == 0
    assert "_INTERCEPTOR_COMPLETE" in done.stdout
