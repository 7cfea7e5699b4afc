"""What `routes` and `stat` refuse before anything is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.test_main import typed


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["routes", "x", "--to", "svc/y", "--from", "deploy/z"], "--to and --from exclude each other"),
        (["routes", "x", "--window", "0"], "--window takes 1s to 10m"),
        (["stat", "--window", "20m"], "--window takes 1s to 10m"),
        (["stat", "--prometheus", "http://a", "--source", "proxies"], "--prometheus does not go with --source proxies"),
        (["stat", "-A", "deploy/x"], "-A goes with kinds (deploy), not with the name of one workload"),
    ],
)
def test_wrong_usage(args: list[str], said: str) -> None:
    done = typed(*args)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"error: {said}; see interceptor {args[0]} --help\n"


def test_bad_file_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text("no")
    for path, why in ((file, "is not JSON"), (tmp_path / "b.json", "can't read")):
        done = typed("routes", "deploy/x", "--compare", str(path))
        assert (done.returncode, done.stdout) == (1, "")
        assert why in done.stderr
        assert done.stderr.count("\n") == 1
