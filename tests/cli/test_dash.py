"""The live page's command, before there is anything to show."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from interceptor.cli import dash
from tests.cli.test_main import typed

SCREENS = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")


def test_nothing_to_show(tmp_path: Path) -> None:
    config = {
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u", "namespace": "nowhere"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
    }  # fmt: skip
    kubeconfig = tmp_path / "config"
    kubeconfig.write_text(json.dumps(config))
    done = typed("dash", "deploy/orders", "--no-browser", "--kubeconfig", str(kubeconfig))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: ")


@pytest.mark.parametrize("port", ["65536", "-1", "web"])
def test_ports_are_checked(port: str) -> None:
    assert typed("dash", "--port", port).returncode == 2
    assert typed("intercept", "x", "--metrics", port).returncode == 2


def test_no_browser_without_a_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    for name in SCREENS:
        monkeypatch.delenv(name, raising=False)
    assert not dash._has_screen()
    for name in SCREENS:
        with monkeypatch.context() as patch:
            patch.setenv(name, "x")
            assert dash._has_screen()
    monkeypatch.setattr("sys.platform", "darwin")
    assert dash._has_screen()
