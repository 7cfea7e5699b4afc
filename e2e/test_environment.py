"""Scenario 13: the command gets the container's environment byte for byte, however it got there."""

import json
import subprocess
import sys
from pathlib import Path

from e2e import manifests
from e2e.kubectl import Object
from e2e.scene import Scene

SHOW = "import os, json; print('ENV ' + json.dumps(dict(os.environ)), flush=True)"
OWN = {"PATH", "HOME", "PWD", "OLDPWD", "SHLVL", "_", "HOSTNAME", "TMPDIR", "KUBECONFIG", "E2E_RUN", "LANG", "TERM"}
PROXY = {"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"}

VARIABLES: list[Object] = [
    {"name": "PLAIN", "value": "one"},
    {"name": "COMPOSED", "value": "$(PLAIN)-$(SECRET_WORD) and $$(PLAIN) and $(NOWHERE)"},
    {"name": "LINES", "value": "first\nsecond\n\nfourth=4\n"},
    {"name": "QUOTES", "value": "a=\"b\" c='d' \\ $HOME `x` # no comment"},
    {"name": "EMPTY", "value": ""},
    {"name": "UNICODE", "value": "Grüße 😀"},
    {"name": "SECRET_WORD", "valueFrom": {"secretKeyRef": {"name": "words", "key": "word"}}},
    {"name": "LATER", "value": "$(SECRET_WORD)"},
    {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
    {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "requests.cpu", "divisor": "1m"}}},
]


def deploy(scene: Scene) -> None:
    scene.kubectl.apply(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"},
         "data": {"COLOUR": "blue", "TEXT": "several\nlines"}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "words"}, "stringData": {"word": "hush = \"hush\""}},
    )  # fmt: skip
    sources = [{"configMapRef": {"name": "settings"}}, {"secretRef": {"name": "words"}, "prefix": "FROM_"}]
    scene.deploy(manifests.deployment(scene.container(env=VARIABLES, envFrom=sources)), manifests.service())


def in_pod(scene: Scene) -> dict[str, str]:
    """The container's variables, as another program in it sees them."""
    name = scene.kubectl.pods()[0]["metadata"]["name"]
    words = scene.exec(name, "env", "-0").rstrip("\0").split("\0")
    return dict(word.split("=", 1) for word in words)


def compare(pod: dict[str, str], seen: dict[str, str]) -> None:
    for name in OWN | PROXY | {name.lower() for name in PROXY} | {"POD_NAME"}:
        pod.pop(name, None)
        seen = {key: value for key, value in seen.items() if key != name}
    assert {name: seen.get(name) for name in pod} == pod


def source(file: Path) -> dict[str, str]:
    """What a shell makes of a file."""
    sourced = subprocess.run(
        ["sh", "-c", 'set -a; . "$0"; exec "$1" -c "$2"', str(file), sys.executable, SHOW],
        env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    found: dict[str, str] = json.loads(sourced.stdout.removeprefix("ENV "))
    return found


def test_command_gets_environment(scene: Scene) -> None:
    deploy(scene)
    wanted = in_pod(scene)
    with scene.unchanged():
        intercept = scene.intercept("deploy/echo", "--port", "8080", "--", sys.executable, "-c", SHOW)
        shown = intercept.wait_line(lambda line: line.text.startswith("ENV "), 60, "environment")
        assert intercept.wait(120) == 0
    seen = json.loads(shown.text.removeprefix("ENV "))
    own = scene.environment()
    assert (seen["PATH"], seen["HOME"]) == (own["PATH"], own["HOME"])
    assert seen["POD_NAME"].startswith("echo-")
    compare(wanted, seen)
    assert wanted["COMPOSED"] == "one-$(SECRET_WORD) and $(PLAIN) and $(NOWHERE)"


def test_environment_file_is_equal(scene: Scene) -> None:
    """The file sourced by a shell, and as JSON, says the same as the pod."""
    deploy(scene)
    wanted = in_pod(scene)
    shell, data = scene.folder / "pod.env", scene.folder / "pod.json"
    local = scene.local()
    with scene.unchanged():
        for file in (shell, data):
            intercept = scene.started("deploy/echo", "--port", f"{local.port}:8080", "--env-file", str(file))
            intercept.stop()
    assert file.stat().st_mode & 0o077 == 0  # it holds secrets
    compare(dict(wanted), json.loads(data.read_text()))
    compare(dict(wanted), source(shell))

    def printed(form: str) -> str:
        """What `interceptor env` says, with nothing intercepted and without one variable."""
        words = ("env", "deploy/echo", "-n", scene.namespace, "-o", form, "--env-exclude", "LAT*")
        ran = scene.run(*words)
        assert ran.wait(120) == 0, ran.transcript()
        return ran.text("stdout")

    del wanted["LATER"]
    data.write_text(printed("json"))
    shell.write_text(printed("shell") + "\n")
    seen = json.loads(data.read_text())
    assert "LATER" not in seen
    compare(dict(wanted), seen)
    compare(dict(wanted), source(shell))
    lines = dict(line.split("=", 1) for line in printed("docker").splitlines())
    # One variable a line, as it is: docker knows no quoting.
    compare({name: value for name, value in wanted.items() if "\n" not in value}, lines)
