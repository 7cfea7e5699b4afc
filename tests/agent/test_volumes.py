"""Only volumes are served: not the image, not the kernel's folders, not the agent's own keys."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent import volumes

TABLE = b"""\
700 600 0:50 / / rw,relatime - overlay overlay rw
701 700 0:51 / /proc rw - proc proc rw
702 700 0:52 / /dev rw - tmpfs tmpfs rw
703 700 259:1 /pods/x/etc-hosts /etc/hosts rw - ext4 /dev/root rw
704 700 0:53 / /etc/app ro - tmpfs tmpfs rw
705 700 0:54 / /srv/with\\040blank ro - tmpfs tmpfs rw
706 700 0:55 / /var/run/interceptor ro - tmpfs tmpfs rw
707 700 0:56 / /dev/shm rw - tmpfs shm rw
708 700 0:57 / /srv/\\134back rw - tmpfs tmpfs rw
"""


@pytest.fixture(autouse=True)
def mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("INTERCEPTOR_MOUNTS", raising=False)
    (tmp_path / "mountinfo").write_bytes(TABLE)
    monkeypatch.setattr(volumes, "MOUNTS", tmp_path / "mountinfo")


@pytest.mark.parametrize("path", ["/etc/app", "/etc/app/", "/srv/with blank", "/srv/\\back"])
def test_volumes_are_served(path: str) -> None:
    assert volumes.folder_of(path, Path("/var/run/interceptor")) == path.rstrip("/")


@pytest.mark.parametrize(
    "path", ["/", "/etc", "/etc/app/below", "/proc", "/dev/shm", "/etc/hosts", "/var/run/interceptor", "/etc/passwd"]
)
def test_nothing_else_is(path: str) -> None:
    assert volumes.folder_of(path, Path("/var/run/interceptor")) is None


def test_embedded_cluster_names_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTERCEPTOR_MOUNTS", f'{{"/etc/app": "{tmp_path}", "/own": "{tmp_path / "own"}"}}')
    assert volumes.folder_of("/etc/app", tmp_path / "own") == str(tmp_path)
    assert volumes.folder_of("/own", tmp_path / "own") is None
    assert volumes.folder_of("/etc", tmp_path / "own") is None
