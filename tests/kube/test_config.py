from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from interceptor.kube import KubeconfigError, config
from interceptor.kube.config import load_kubeconfig
from tests.kube.conftest import kubeconfig

SERVER = "https://127.0.0.1:6443"


def write(path: Path, content: Any) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


def test_context_is_resolved(tmp_path: Path) -> None:
    loaded = load_kubeconfig(write(tmp_path / "config", kubeconfig(SERVER + "/")))
    assert (loaded.context, loaded.namespace, loaded.user.name) == ("test", "shop", "jane")
    assert loaded.cluster.server == SERVER


def test_first_file_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = kubeconfig(SERVER), kubeconfig("https://other:1")
    first["contexts"] = []
    second["current-context"] = "ignored"
    paths = [write(tmp_path / "a" / "config", first), str(tmp_path / "missing"), write(tmp_path / "b", second)]
    monkeypatch.setenv("KUBECONFIG", ":".join(paths))
    loaded = load_kubeconfig()
    assert (loaded.context, loaded.cluster.server, loaded.namespace) == ("test", SERVER, "shop")


def test_home_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path / ".kube" / "config", kubeconfig(SERVER))
    assert load_kubeconfig().cluster.server == SERVER


def test_paths_count_from_their_file(tmp_path: Path) -> None:
    content = kubeconfig(SERVER, cluster={"certificate-authority": "pki/ca.crt"}, user={"tokenFile": "token"})
    write(tmp_path / "pki" / "ca.crt", "PEM")
    loaded = load_kubeconfig(write(tmp_path / "config", content))
    assert loaded.cluster.authority == "PEM"
    assert loaded.user.settings["tokenFile"] == str(tmp_path / "token")


def test_data_beats_the_file(tmp_path: Path) -> None:
    settings = {"certificate-authority": "nowhere", "certificate-authority-data": base64.b64encode(b"PEM").decode()}
    assert load_kubeconfig(write(tmp_path / "c", kubeconfig(SERVER, cluster=settings))).cluster.authority == "PEM"


def test_namespace_defaults(tmp_path: Path) -> None:
    content = kubeconfig(SERVER)
    del content["contexts"][0]["context"]["namespace"]
    assert load_kubeconfig(write(tmp_path / "c", content)).namespace == "default"


def test_context_without_user_is_anonymous(tmp_path: Path) -> None:
    content = kubeconfig(SERVER)
    del content["contexts"][0]["context"]["user"]
    assert load_kubeconfig(write(tmp_path / "c", content)).user.settings == {}


def test_pod_is_the_fallback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in (("token", "t"), ("ca.crt", "PEM"), ("namespace", "shop\n")):
        write(tmp_path / name, text)
    monkeypatch.setattr(config, "SERVICE_ACCOUNT", tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "nobody"))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    loaded = load_kubeconfig()
    assert (loaded.cluster.server, loaded.namespace) == ("https://[fd00::1]:443", "shop")
    assert loaded.user.settings["tokenFile"] == str(tmp_path / "token")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("contexts: [\n", "line 2 is not YAML"),
        ("just text", "is not a kubeconfig"),
        ({"current-context": ""}, "no current context; kubectl config use-context test"),
        ({"current-context": "tset"}, "no context named 'tset' .*did you mean test?"),
        ({"clusters": []}, "no cluster named 'test' .*there are: none"),
        ({"users": []}, "no user named 'jane'"),
        ({"users": {"a": 1}}, "users is not a list"),
        ({"contexts": ["x"]}, "an entry of contexts is not a mapping"),
        ({"clusters": [{"name": "test", "cluster": {"server": "10.0.0.1"}}]}, "no http:// or https:// server"),
        (
            {"clusters": [{"name": "test", "cluster": {"server": SERVER, "certificate-authority": "no.crt"}}]},
            "can't read certificate-authority .*no.crt.*No such file",
        ),
        (
            {"clusters": [{"name": "test", "cluster": {"server": SERVER, "certificate-authority-data": "x"}}]},
            "is not base64",
        ),
    ],
)
def test_mistakes_are_named(tmp_path: Path, change: Any, words: str) -> None:
    content = change if isinstance(change, str) else {**kubeconfig(SERVER), **change}
    with pytest.raises(KubeconfigError, match=words):
        load_kubeconfig(write(tmp_path / "config", content))


def test_missing_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KubeconfigError, match=r"no such kubeconfig: .*nowhere"):
        load_kubeconfig(str(tmp_path / "nowhere"))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "nowhere"))
    with pytest.raises(KubeconfigError, match=r"no kubeconfig: .*nowhere is missing or empty; set KUBECONFIG"):
        load_kubeconfig()
