"""What --mount says, and what of this machine no volume may hide."""

from __future__ import annotations

from typing import Any

import pytest

from interceptor.errors import UsageError
from interceptor.sandbox.files.choice import Volume, choose, read_wish, volumes_of

MACHINE = ("/home/ana/shop", "/home/ana", "/tmp", "/home/ana/shop/.venv", "/")


def chosen(path: str, *words: str) -> tuple[list[str], list[str]]:
    found, notes = choose([Volume(path, "emptyDir")], read_wish(words, "/home/ana/shop"), MACHINE)
    return [one.target for one in found], notes


@pytest.mark.parametrize(
    "path", ["/etc/app", "/data", "/var/run/secrets/kubernetes.io/serviceaccount", "/opt/app/conf"]
)
def test_volumes_are_where_they_are(path: str) -> None:
    assert chosen(path) == ([path], [])


@pytest.mark.parametrize(
    ("path", "where"),
    [
        ("/tmp", "over this machine's /tmp"),
        ("/tmp/cache", "in this machine's /tmp"),
        ("/home", "over this machine's /home"),
        ("/home/ana/shop/config", "in this machine's /home/ana/shop"),
        ("/usr", "over this machine's /usr"),
        ("/dev/shm", "in this machine's /dev"),
        ("/", "over this machine's /"),
    ],
)
def test_this_machine_is_not_hidden(path: str, where: str) -> None:
    found, notes = chosen(path)
    assert found == []
    assert notes == [f"volume {path} is left out, it would lie {where}; --mount {path} shows it"]


def test_named_volumes_are_shown() -> None:
    assert chosen("/tmp", "/tmp") == (["/tmp"], [])
    assert chosen("/data", "/data:/srv/data") == (["/srv/data"], [])
    assert chosen("/data", "/data:data") == (["/home/ana/shop/data"], [])


def test_none_is_none() -> None:
    assert chosen("/data", "none") == ([], [])


def test_writing_is_a_wish() -> None:
    assert read_wish(("rw",), "/").write
    assert not read_wish((), "/").write


@pytest.mark.parametrize("word", ["data", "/data:", "read-write"])
def test_wrong_words_are_refused(word: str) -> None:
    with pytest.raises(UsageError, match="--mount"):
        read_wish((word,), "/")


def test_unknown_paths_are_refused() -> None:
    with pytest.raises(UsageError, match="no volume there") as caught:
        chosen("/data", "/dta")
    assert caught.value.hint == "did you mean /data? it has /data"
    with pytest.raises(UsageError) as caught:
        chosen("/data", "/somewhere/else")
    assert caught.value.hint == "it has /data"


def test_places_are_taken_once() -> None:
    with pytest.raises(UsageError, match="/a and /b can't both be at /here"):
        read_wish(("/a:/here", "/b:/here/"), "/")
    assert read_wish(("/a:/here", "/a:/there"), "/").places == {"/a": "/there"}


def test_deleted_folder_names_no_place() -> None:
    assert read_wish(("/a", "/b:/there"), "").places == {"/a": "/a", "/b": "/there"}
    with pytest.raises(UsageError, match="this folder was deleted"):
        read_wish(("/a:here",), "")


def test_pods_tell_their_volumes() -> None:
    mounts: list[dict[str, Any]] = [
        {"name": "inner", "mountPath": "/data/cache"},
        {"name": "outer", "mountPath": "/data/", "readOnly": True},
        {"name": "ours", "mountPath": "/var/run/interceptor"},
    ]
    kinds = [{"name": "inner", "emptyDir": {}}, {"name": "outer", "secret": {"secretName": "x"}}]
    pod = {"spec": {"containers": [{"name": "app", "volumeMounts": mounts}], "volumes": kinds}}
    found = volumes_of(pod, "app", "/var/run/interceptor")
    assert found == [Volume("/data", "secret", read_only=True), Volume("/data/cache", "emptyDir")]
