"""A volume is a tree that nothing leads out of, and what is told of it is true."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.tree import Tree
from interceptor.wire.files import Change


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "volume"
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a" / "b" / "file").write_text("inside")
    (tmp_path / "secret").write_text("outside")
    (folder / "up").symlink_to("../secret")
    (folder / "away").symlink_to(tmp_path / "secret")
    (folder / "parent").symlink_to("..")
    return folder


@pytest.fixture
def tree(folder: Path) -> Iterator[Tree]:
    tree = Tree(str(folder), write=True)
    yield tree
    tree.close()


def code(do: Callable[[], object]) -> int:
    with pytest.raises(OSError, match=r"\[Errno|not a regular") as failed:
        do()
    return failed.value.errno or 0


@pytest.mark.parametrize("path", [b"..", b"a/../../secret", b"/etc/passwd", b"a//b", b".", b"a/\0"])
def test_paths_stay_inside(tree: Tree, path: bytes) -> None:
    assert code(lambda: tree.attributes(path)) == errno.EINVAL
    assert code(lambda: tree.open(path, os.O_RDONLY)) == errno.EINVAL


@pytest.mark.parametrize("path", [b"up", b"away"])
def test_links_are_not_followed(tree: Tree, path: bytes) -> None:
    assert code(lambda: tree.open(path, os.O_RDONLY)) == errno.ELOOP
    assert code(lambda: tree.open(path, os.O_WRONLY)) == errno.ELOOP
    assert code(lambda: tree.create(path, os.O_WRONLY, 0o600)) == errno.ELOOP
    assert code(lambda: tree.change(path, Change(mode=0o777))) == errno.EOPNOTSUPP


def test_links_on_the_way_stop(tree: Tree) -> None:
    assert code(lambda: tree.attributes(b"parent/secret")) in (errno.ELOOP, errno.ENOTDIR)
    assert code(lambda: tree.unlink(b"parent/secret")) in (errno.ELOOP, errno.ENOTDIR)
    assert code(lambda: list(tree.entries(b"parent"))) in (errno.ELOOP, errno.ENOTDIR)


def test_walk_tells_the_way(tree: Tree, folder: Path) -> None:
    (folder / "..one").mkdir()
    (folder / "..one" / "key").write_text("value")
    (folder / "..data").symlink_to("..one")
    (folder / "key").symlink_to("..data/key")
    assert [(step.path, step.target) for step in tree.walk(b"key")] == [
        (b"key", b"..data/key"), (b"..data", b"..one"), (b"..one", b""), (b"..one/key", b"")
    ]  # fmt: skip


@pytest.mark.parametrize(("path", "target"), [(b"up", b"../secret"), (b"parent", b"..")])
def test_walk_ends_at_the_border(tree: Tree, path: bytes, target: bytes) -> None:
    assert [(step.path, step.target) for step in tree.walk(path)] == [(path, target)]


def test_walk_ends_in_loops(tree: Tree, folder: Path) -> None:
    (folder / "one").symlink_to("two")
    (folder / "two").symlink_to("one")
    assert len(list(tree.walk(b"one"))) < 100


def test_walk_names_what_is_missing(tree: Tree) -> None:
    assert [(step.path, step.errno) for step in tree.walk(b"a/none")] == [(b"a/none", errno.ENOENT)]
    assert [(step.path, step.errno) for step in tree.walk(b"none/below")] == [(b"none", errno.ENOENT)]


def test_only_regular_files_open(tree: Tree, folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    assert code(lambda: tree.open(b"pipe", os.O_RDONLY)) == errno.EINVAL
    assert code(lambda: tree.open(b"a", os.O_RDONLY)) == errno.EINVAL


def test_reading_changes_nothing(folder: Path) -> None:
    tree = Tree(str(folder), write=False)
    changes: list[Callable[[], object]] = [
        lambda: tree.open(b"a/b/file", os.O_RDWR),
        lambda: tree.open(b"a/b/file", os.O_RDONLY | os.O_TRUNC),
        lambda: tree.create(b"new", os.O_WRONLY, 0o600),
        lambda: tree.change(b"a/b/file", Change(size=0)),
        lambda: tree.mkdir(b"new", 0o700),
        lambda: tree.rename(b"a", b"z"),
        lambda: tree.link(b"twin", b"a/b/file"),
        lambda: tree.symlink(b"new", b"x"),
        lambda: tree.unlink(b"up"),
        lambda: tree.rmdir(b"a/b"),
    ]
    assert {code(change) for change in changes} == {errno.EROFS}
    assert (folder / "a" / "b" / "file").read_text() == "inside"
    tree.close()
