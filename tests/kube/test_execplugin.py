from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from interceptor.kube import KubeconfigError, execplugin
from interceptor.kube.config import ClusterEntry, UserEntry
from interceptor.kube.execplugin import ExecPlugin
from tests.kube.plugins import V1, exec_user, plugin

CLUSTER = ClusterEntry(
    "test",
    "https://127.0.0.1:6443",
    tls_server_name="api",
    authority="PEM",
    proxy_url="http://proxy:3128",
    extensions={"client.authentication.k8s.io/exec": {"audience": "x"}},
)


def parse(folder: Path, command: Path | str, **settings: Any) -> ExecPlugin:
    user = UserEntry("jane", exec_user(command, **settings), folder)
    return ExecPlugin.parse(user.settings["exec"], user, CLUSTER, os.environ)


async def test_arguments_and_environment_arrive(tmp_path: Path) -> None:
    command = plugin(tmp_path, "answer(token=' '.join([*sys.argv[1:], os.environ['REGION']]))")
    parsed = parse(tmp_path, command, args=["a", 1], env=[{"name": "REGION", "value": "eu"}])
    assert (await parsed.run()).token == "a 1 eu"


async def test_relative_path_counts_from_the_kubeconfig(tmp_path: Path) -> None:
    plugin(tmp_path, "answer(token='t')")
    assert (await parse(tmp_path, "./get-token").run()).token == "t"


async def test_cluster_is_told_when_asked(tmp_path: Path) -> None:
    command = plugin(tmp_path, "answer(token=json.dumps(info['spec']))")
    spec = json.loads((await parse(tmp_path, command, provideClusterInfo=True).run()).token)
    assert spec == {
        "interactive": False,
        "cluster": {
            "server": "https://127.0.0.1:6443",
            "tls-server-name": "api",
            "certificate-authority-data": "UEVN",
            "proxy-url": "http://proxy:3128",
            "config": {"audience": "x"},
        },
    }
    spec = json.loads((await parse(tmp_path, command).run()).token)
    assert spec == {"interactive": False}


async def test_expiry_is_read(tmp_path: Path) -> None:
    answer = await parse(
        tmp_path, plugin(tmp_path, "answer(token='t', expirationTimestamp='2030-01-01T00:00:00Z')")
    ).run()
    assert answer.expires == 1893456000


async def test_failure_tells_the_last_line(tmp_path: Path) -> None:
    command = plugin(tmp_path, "print('long story\\nyour session has expired\\n', file=sys.stderr); sys.exit(3)")
    with pytest.raises(KubeconfigError) as told:
        await parse(tmp_path, command, args=["login"]).run()
    assert "failed with status 3: your session has expired" in told.value.message
    assert "get-token" in told.value.message
    assert "'jane'" in told.value.message
    assert told.value.hint == f"run it by hand: {command} login"


async def test_missing_plugin_shows_its_hint(tmp_path: Path) -> None:
    with pytest.raises(KubeconfigError) as told:
        await parse(tmp_path, "no-such-plugin", installHint="Get it\n  from example.com").run()
    assert "no-such-plugin of user 'jane' is not installed" in told.value.message
    assert told.value.hint == "Get it from example.com"


async def test_hanging_plugin_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execplugin, "SILENT_LIMIT", 1.5)
    command = tmp_path / "hangs"
    command.write_text(f"#!/bin/sh\necho $$ > '{tmp_path}/pid'\nsleep 60\n")
    command.chmod(0o700)
    with pytest.raises(KubeconfigError, match=r"gave no answer in 1\.5 s"):
        await parse(tmp_path, command).run()
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("print('hello')", "did not answer with an ExecCredential"),
        ("print('[]')", "did not answer with an ExecCredential"),
        ("print('{}')", "did not answer with an ExecCredential"),
        ("answer()", "neither a token nor a certificate"),
        ("answer(clientCertificateData='x')", "neither a token nor a certificate"),
        ("answer('client.authentication.k8s.io/v1beta1', token='t')", "answered client.*v1beta1, but"),
        ("answer(token='t', expirationTimestamp='soon')", "is no time: soon"),
        ("os.kill(os.getpid(), 9)", "was killed by signal 9"),
    ],
)
async def test_bad_answers_are_named(tmp_path: Path, body: str, words: str) -> None:
    with pytest.raises(KubeconfigError, match=words):
        await parse(tmp_path, plugin(tmp_path, body)).run()


async def test_terminal_is_asked_for(tmp_path: Path) -> None:
    command = plugin(tmp_path, "answer(token='t')")
    with pytest.raises(KubeconfigError, match="needs a terminal"):
        await parse(tmp_path, command, interactiveMode="Always").run()


def test_old_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KubeconfigError, match="v1alpha1") as told:
        parse(tmp_path, "x", apiVersion="client.authentication.k8s.io/v1alpha1")
    assert V1 in told.value.hint
    with pytest.raises(KubeconfigError, match="has no command"):
        parse(tmp_path, "")
