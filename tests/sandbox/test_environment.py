"""COMMAND's environment is the container's; the file read back by a real shell is byte for byte the same."""

import json
import os
import pwd
import stat
import subprocess
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.errors import InterceptorError
from interceptor.sandbox.environment import (
    ProxyAddress,
    compose,
    for_file,
    formatted,
    own_variables,
    proxy_variables,
    write_env_file,
)

PROXY = ProxyAddress("127.0.0.1", 4711)
POD = {
    "PATH": "/usr/local/bin:/usr/bin", "HOME": "/root", "HOSTNAME": "orders-7d9-x", "DB": "postgres://db/x?a=b",
    "PEM": "-----BEGIN-----\nline two\n\n-----END-----\n", "QUOTES": """it's "so" `x` $HOME \\n""", "EMPTY": "",
    "LANG": "C.UTF-8", "UNICODE": "grüße 🚀", "http_proxy": "http://corp:3128", "TERM": "xterm",
}  # fmt: skip


def test_pod_wins_here_stays() -> None:
    own = {"PATH": "/home/ana/bin", "HOME": "/home/ana", "DB": "mine", "AWS_PROFILE": "ana", "LANG": "de_DE.UTF-8",
           "LC_TIME": "de_DE.UTF-8", "TERM": "tmux", "XDG_RUNTIME_DIR": "/run/user/1000", "VIRTUAL_ENV": "/v"}  # fmt: skip
    environ = compose(POD, own, None)
    assert environ == POD | {
        "PATH": "/home/ana/bin", "HOME": "/home/ana", "TERM": "tmux", "XDG_RUNTIME_DIR": "/run/user/1000",
        "VIRTUAL_ENV": "/v", "LC_TIME": "de_DE.UTF-8",
    }  # fmt: skip


def test_more_can_be_kept() -> None:
    own = {"INTERCEPTOR_KEEP_ENV": "DEBUG, AWS_*", "DEBUG": "1", "AWS_PROFILE": "ana", "DB": "mine"}
    environ = compose(POD, own, None)
    assert (environ["DEBUG"], environ["AWS_PROFILE"], environ["DB"]) == ("1", "ana", POD["DB"])


def test_home_is_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also without the variable: the pod's is a folder that isn't there, or somebody else's."""
    pod = POD | {"HOME": "/home/app"}
    monkeypatch.setenv("HOME", "/home/ana")
    assert compose(pod, own_variables(), None)["HOME"] == "/home/ana"
    monkeypatch.delenv("HOME")
    assert compose(pod, own_variables(), None)["HOME"] == pwd.getpwuid(os.getuid()).pw_dir


def test_unknown_user_has_the_pods_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 2**31 - 7)  # in no database
    assert compose(POD, own_variables(), None)["HOME"] == POD["HOME"]


def test_proxy_overrules_pod() -> None:
    environ = compose(POD, {}, PROXY)
    assert environ["http_proxy"] == environ["HTTP_PROXY"] == environ["ALL_PROXY"] == "http://127.0.0.1:4711"
    assert environ["INTERCEPTOR_SOCKS"] == "socks5h://127.0.0.1:4711"
    assert environ["NO_PROXY"] == environ["no_proxy"] == "localhost,127.0.0.1,::1"


def sourced(path: Path) -> dict[str, str]:
    done = subprocess.run(
        ["sh", "-c", 'set -a; . "$1"; exec env -0', "sh", str(path)],
        env={},
        capture_output=True,
        timeout=20,
        check=True,
    )
    pairs = done.stdout.decode("utf-8", "surrogateescape").split("\0")[:-1]
    return {name: value for name, _, value in (pair.partition("=") for pair in pairs) if name not in ("PWD", "_")}


def test_shell_reads_same_bytes(tmp_path: Path) -> None:
    path = tmp_path / "orders.env"
    expected = for_file(POD, PROXY)
    assert write_env_file(path, expected) == ()
    assert sourced(path) == expected
    assert expected.keys() & {"PATH", "HOME", "TERM"} == set()
    assert "\nDB='postgres://db/x?a=b'\n" in "\n" + path.read_text()
    assert "\nLANG=C.UTF-8\n" in "\n" + path.read_text()


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=60))
def test_any_value_survives(value: str) -> None:
    path = Path(os.environ.get("TMPDIR", "/tmp")) / f"interceptor-test-{os.getpid()}.env"
    try:
        write_env_file(path, {"VALUE": value})
        assert sourced(path) == {"VALUE": value}
    finally:
        path.unlink()


def test_json_holds_everything(tmp_path: Path) -> None:
    path = tmp_path / "orders.json"
    environ = POD | {"my.name": "x"}
    assert write_env_file(path, environ) == ()
    assert json.loads(path.read_text()) == environ


def test_unsayable_names_are_told(tmp_path: Path) -> None:
    path = tmp_path / "f"
    assert write_env_file(path, {"my.name": "x", "a-b": "y", "GOOD": "z"}) == ("my.name", "a-b")
    assert path.read_text() == "GOOD=z\n"


def test_file_is_private_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("old")
    path.chmod(0o644)
    link = tmp_path / "link"
    link.symlink_to(path)
    write_env_file(link, {"A": "b"})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert link.is_symlink()
    assert sorted(tmp_path.iterdir()) == [path, link]


def test_pipe_is_written_to(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE) as reader:
        write_env_file(pipe, {"A": "b"})
        assert reader.communicate(timeout=20)[0] == b"A=b\n"


def test_failed_write_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(InterceptorError, match=r"can.t write .*folder: Is a directory; name another"):
        write_env_file(tmp_path / "folder", {"A": "b"})
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder"]


def test_without_proxy_no_variables() -> None:
    assert proxy_variables(None) == {}


@pytest.mark.parametrize(
    ("form", "text", "left_out"),
    [
        ("shell", "export A='it'\"'\"'s'\n", ("my.name",)),
        ("docker", "A=it's\nmy.name=x\n", ("LINES",)),
    ],
)
def test_formats_tell_what_they_cannot(form: Literal["shell", "docker"], text: str, left_out: tuple[str, ...]) -> None:
    written, missing = formatted({"A": "it's", "my.name": "x", "LINES": "a\nb"}, form)
    assert written.startswith(text)
    assert missing == left_out


def test_json_carries_everything() -> None:
    environ = {"my.name": "x", "LINES": "a\nb"}
    written, missing = formatted(environ, "json")
    assert (json.loads(written), missing) == (environ, ())
