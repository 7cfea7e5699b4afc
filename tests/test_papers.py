"""The papers tell the truth: what README and Makefile name exists, and what exists is named."""

import re
import subprocess
from pathlib import Path
from typing import get_args

import click
import pytest

from interceptor.cli.intercept import intercept
from interceptor.cli.main import COMMANDS
from interceptor.session.events import EventName

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
SYNOPSIS = re.findall(
    r"^    (interceptor .*(?:\n     +.*)*)", (ROOT / "docs" / "commands.md").read_text(), re.MULTILINE
)


def test_synopsis_names_every_option() -> None:
    (usage,) = [one for one in SYNOPSIS if one.startswith("interceptor intercept ")]
    options = [opt for param in intercept.params if isinstance(param, click.Option) for opt in param.opts]
    long = {opt for opt in options if opt.startswith("--")} - {"--container", "--namespace", "--output", "--verbose"}
    assert [opt for opt in sorted(long) if f"[{opt}" not in usage] == []
    assert {"-c", "-n", "-o", "-v"} <= set(options)


def test_synopsis_names_no_other_option() -> None:
    (usage,) = [one for one in SYNOPSIS if one.startswith("interceptor intercept ")]
    known = {opt for param in intercept.params for opt in param.opts} | {"--"}
    assert set(re.findall(r"(?<![\w-])--?[a-z-]*", usage)) <= known


def test_readme_names_every_event() -> None:
    table = README.partition("| `event` |")[2].partition("\n\n")[0]
    assert sorted(re.findall(r"^\| `(\w+)`", table, re.MULTILINE)) == sorted(get_args(EventName))


def test_every_command_is_named() -> None:
    assert set(COMMANDS) - {one.split()[1] for one in SYNOPSIS} == set()
    table = README.partition("| `interceptor ...` |")[2].partition("\n\n")[0]
    assert (
        set(COMMANDS)
        - set(re.findall(r"[`, ]([a-z][a-z-]+)", "".join(re.findall(r"^\| (.*?) \|", table, re.MULTILINE))))
        == set()
    )


@pytest.mark.parametrize("paper", ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"])
def test_links_lead_somewhere(paper: str) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", (ROOT / paper).read_text())
    assert [link for link in links if "://" not in link and not (ROOT / link).exists()] == []


def test_make_helps() -> None:
    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, timeout=20, check=True)
    targets = {line.split()[1] for line in done.stdout.splitlines()}
    assert targets >= {"demo", "test", "e2e", "bench", "lint", "types"}


def test_ci_is_sound_shell() -> None:
    subprocess.run(["bash", "-n", ROOT / ".ci" / "run"], timeout=20, check=True)
